"""How a parameter is updated by its gradient: AdamW, and Muon for matrices.

Both are functions over lists of tensors that wait for nothing and read lr from the device, so that a recorded step can
hold them. AdamW is torch's fused kernel, called by itself: an optimizer of torch loads torch's compiler when it is
made, two seconds of each process that trains, whether anything is compiled or not.

Legend: N matrices of one shape, R rows, C columns.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.adamw import adamw

from growlab.specs import TrainSpec

_EPSILON = 1e-8  # torch's own
_MOMENTUM = 0.95  # of Muon
_STEPS, _COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)  # of its iteration
_RMS = 0.2  # of an update of AdamW, about

Weight = Float[Tensor, "..."]  # of any shape
State = dict[str, Weight]


class Rule(ABC):
    """A rule of updates, and what it remembers of a parameter."""

    powers: ClassVar[Mapping[str, int]]
    """The names of what it remembers, each with the power of the gradient that it is an average of."""

    @abstractmethod
    def begin(self, parameter: Weight) -> State:
        """What is remembered of a parameter before its first update; all of it on its device, as graphs need it."""

    @abstractmethod
    def update(
        self,
        parameters: list[Weight],
        gradients: list[Weight],
        states: list[State],
        lr: Float[Tensor, ""],
        weight_decay: float,
    ) -> None:
        """Update parameters and states in place."""


@dataclass(frozen=True)
class AdamW(Rule):
    """Decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    spec: TrainSpec
    powers: ClassVar[Mapping[str, int]] = MappingProxyType({"step": 0, "exp_avg": 1, "exp_avg_sq": 2})

    def begin(self, parameter: Weight) -> State:
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}

    def update(
        self,
        parameters: list[Weight],
        gradients: list[Weight],
        states: list[State],
        lr: Float[Tensor, ""],
        weight_decay: float,
    ) -> None:
        steps, means, squares = ([state[name] for state in states] for name in self.powers)
        adamw(
            parameters,
            gradients,
            means,
            squares,
            [],  # of AMSGrad
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.spec.beta1,
            beta2=self.spec.beta2,
            lr=lr,
            weight_decay=weight_decay,
            eps=_EPSILON,
            maximize=False,
        )


@dataclass(frozen=True)
class Muon(Rule):
    """Nesterov momentum of matrices, orthogonalised (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

    An update is as large as AdamW's usually is, 0.2 per weight, so that one lr serves both (Liu et al. 2025,
    arXiv:2502.16982, section 2.2).
    """

    powers: ClassVar[Mapping[str, int]] = MappingProxyType({"momentum": 1})

    def begin(self, parameter: Weight) -> State:
        return {"momentum": torch.zeros_like(parameter)}

    def update(
        self,
        parameters: list[Weight],
        gradients: list[Weight],
        states: list[State],
        lr: Float[Tensor, ""],
        weight_decay: float,
    ) -> None:
        if not parameters:
            return
        means = [state["momentum"] for state in states]
        torch._foreach_lerp_(means, gradients, 1 - _MOMENTUM)
        ahead = torch._foreach_lerp(gradients, means, _MOMENTUM)
        torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        # one product for all matrices of a shape: a step of many small ones would wait for their launches
        for (rows, columns), places in _by_shape(parameters).items():
            stacked_NRC = torch.cat([ahead[place].reshape(-1, rows, columns) for place in places])
            updates_NRC = orthogonalised(stacked_NRC) * (lr * (_RMS * math.sqrt(max(rows, columns))))
            sizes = [parameters[place].numel() // (rows * columns) for place in places]
            for place, update_NRC in zip(places, torch.split(updates_NRC, sizes), strict=True):
                parameters[place].sub_(update_NRC.view_as(parameters[place]))


def orthogonalised(matrices_NRC: Float[Tensor, "N R C"]) -> Float[Tensor, "N R C"]:
    """Bring the singular values of matrices near 1, between some 0.7 and 1.2, and leave their singular vectors.

    Newton–Schulz iteration of degree five; in bf16 on a GPU, where it is computed by tensor cores.
    """
    x = matrices_NRC.bfloat16() if matrices_NRC.is_cuda else matrices_NRC
    is_tall = x.shape[-2] > x.shape[-1]
    x = x.mT if is_tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices_NRC.dtype)


def _by_shape(parameters: list[Tensor]) -> dict[tuple[int, int], list[int]]:
    """The places of parameters by the shape of their matrices."""
    places: dict[tuple[int, int], list[int]] = {}
    for place, parameter in enumerate(parameters):
        places.setdefault((parameter.shape[-2], parameter.shape[-1]), []).append(place)
    return places
