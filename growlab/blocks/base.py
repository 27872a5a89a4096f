"""The residual block x + dropout(mixer(norm(x))) and the contract of the mixer inside it.

Legend of shape suffixes: B batch, T tokens, D d_model.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.errors import PluginError
from growlab.kinds import KINDS, Cost
from growlab.layout import BlockSpec

State = tuple[Tensor, ...]  # what a mixer carries from token to token; () for a channel mixer

NORM_EPS = 1e-6

Constant = TypeVar("Constant", bound=Callable[..., object])
NEVER_CHANGING: list[Callable[..., object]] = []


class Mixer(nn.Module, ABC):
    """One kind of block, without norm and residual.

    Contract, tested for every registered kind: causal; `advance` over any split of a sequence equals
    `forward` over the whole; every parameter receives a gradient; two instances of one spec have equal
    names and shapes; with `out_proj.weight` zero the output is zero.
    """

    out_proj: nn.Linear
    p_dropout = 0.0  # of what a mixer drops inside itself, when it is trained; the block drops of its output

    def __init__(self, d_model: int, options: object) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """All tokens at once, from an empty state."""

    def initial_state(self, batch: int) -> State:
        """The state before the first token, on the mixer's device and in its dtype."""
        return ()

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """The next T ≥ 1 tokens, continuing from `state`. As it stands: a mixer that sees one token at a time."""
        return self(x_BTD), state


@runtime_checkable
class Plastic(Protocol):
    """A mixer with the option `plasticity`, α in (0, 1], which a training may change as it goes."""

    def set_plasticity(self, plasticity: float) -> None:
        """By filling a tensor in place: a recorded or compiled step goes on reading it."""
        ...


class Block(nn.Module):
    """x + dropout(mixer(norm(x))); RMSNorm in fp32 because the residual stream is."""

    def __init__(self, spec: BlockSpec, mixer: Mixer, d_model: int, dropout: float) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.RMSNorm(d_model, eps=NORM_EPS)
        self.mixer = mixer
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        mixed: Tensor = self.dropout(self.mixer(self.norm(x_BTD)))
        return x_BTD + mixed

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        mixed, state = self.mixer.advance(self.norm(x_BTD), state)
        return x_BTD + self.dropout(mixed), state

    def set_plasticity(self, plasticity: float) -> None:
        """From the next token on; the spec says so. A mixer that has none stays as it is."""
        if isinstance(self.mixer, Plastic):
            self.mixer.set_plasticity(plasticity)
            options = {**dict(self.spec.options), "plasticity": plasticity}
            self.spec = replace(self.spec, options=tuple(sorted(options.items())))


def build_block(spec: BlockSpec, d_model: int, *, max_depth: int, dropout: float) -> Block:
    """A freshly initialised block. Raises UnknownName, LayoutError, and PluginError for a kind that breaks its word.

    Matrices are N(0, 1 / (3·fan_in)); out-projections are smaller by √max_depth, so that the residual
    stream's variance does not depend on when a block enters. `max_depth` is the depth that growth may
    reach, not today's: a block's initialisation must not depend on the moment of its birth.
    """
    kind = KINDS[spec.kind]
    options = kind.read_options(spec, d_model)
    mixer = kind.mixer(d_model, options)
    for module in mixer.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(3 * module.in_features))
    mixer.out_proj.weight.data.div_(math.sqrt(max_depth))
    mixer.p_dropout = dropout
    _require_kept_word(spec.kind, mixer, _told_cost(spec.kind, kind.cost, d_model, options, 1))
    return Block(spec, mixer, d_model, dropout)


def _require_kept_word(kind: str, mixer: Mixer, cost: Cost) -> None:
    """What checkpoints, exports and searches rely on, and a kind from outside may not keep."""
    parameters = {name: each.numel() for name, each in mixer.named_parameters()}
    if extra := sorted(mixer.state_dict().keys() - parameters.keys()):
        raise PluginError(
            f"block kind {kind!r} has the buffer {extra[0]!r}, which no checkpoint would hold; make it a parameter, "
            "compute it when it is needed, or register it with persistent=False if it never changes"
        )
    if (n_params := sum(parameters.values())) != cost.n_params:
        raise PluginError(f"block kind {kind!r} has {n_params} parameters, but its cost function says {cost.n_params}")


def _told_cost(kind: str, cost: Callable[..., object], *of: object) -> Cost:
    """Raises PluginError where a function from outside fails or returns something else."""
    try:
        told = cost(*of)
    except Exception as error:
        raise PluginError(
            f"the cost function of block kind {kind!r} raised {type(error).__name__}: {error}; correct it"
        ) from error
    if not isinstance(told, Cost):
        raise PluginError(f"the cost function of block kind {kind!r} must return a growlab.kinds.Cost, got {told!r}")
    return told


def block_cost(spec: BlockSpec, d_model: int, seq_len: int) -> Cost:
    """The cost of a whole block: its mixer, its norm and its residual sum."""
    kind = KINDS[spec.kind]
    mixer = _told_cost(spec.kind, kind.cost, d_model, kind.read_options(spec, d_model), seq_len)
    for name, value in vars(mixer).items():  # a budget in FLOPs that are NaN would never be spent
        if not isinstance(value, int) or value < 0:
            raise PluginError(f"the cost of block kind {spec.kind!r}: {name} must be a whole number ≥ 0, got {value!r}")
    return replace(
        mixer,
        n_params=mixer.n_params + d_model,
        activations=mixer.activations + 2 * seq_len * d_model,  # the norm's input and output
    )


def never_changing(function: Constant) -> Constant:
    """Decorator of a module's function whose result depends on its arguments alone: a compiler may keep it."""
    NEVER_CHANGING.append(function)
    return function


def wide(dtype: torch.dtype) -> torch.dtype:
    """fp32 at least: what norms, rotations, rates and states are computed in."""
    return torch.promote_types(dtype, torch.float32)
