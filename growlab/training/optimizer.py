"""AdamW for a model that grows: it adopts new parameters, and what it remembers goes by name.

It calls torch's fused kernel by itself. An optimizer of torch loads torch's compiler when it is made, two seconds of
each process that trains, whether anything is compiled or not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.adamw import adamw

from growlab.specs import TrainSpec
from growlab.training.schedule import rewarm

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
_EPSILON = 1e-8  # torch's own


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that entered the model at step `born`, all decayed alike."""

    parameters: list[nn.Parameter]
    weight_decay: float
    born: int
    lr: Float[Tensor, ""]  # on the device


class GrowingAdamW:
    """AdamW that adopts parameters. Matrices are decayed; vectors, and what a block marked `no_decay`, are not.

    lr is a tensor, so that a captured step can read it.

    Each adoption makes its own groups: the moments of older parameters stay as they are, bit for bit, and
    new ones begin with none and with their own step count (an inherited count makes the first update
    3.16 times too large at betas 0.9, 0.999). A parameter without a gradient is left alone entirely.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        spec: TrainSpec,
        device: torch.device,
        born: Mapping[str, int] = MappingProxyType({}),
        *,
        new_decay_factor: float = 1.0,
    ) -> None:
        """Begin with parameters that entered the model at the steps of `born`; at 0 where it does not name them.

        The weight decay of those that grew is multiplied by `new_decay_factor`.
        """
        self.spec, self.device, self.new_decay_factor = spec, device, new_decay_factor
        self.born: dict[str, int] = {}
        self._parameters: dict[str, nn.Parameter] = {}
        self.groups: list[ParameterGroup] = []
        self._moments: dict[nn.Parameter, dict[str, Tensor]] = {}  # of those that have been updated
        named = list(named)
        for birth in sorted({born.get(name, 0) for name, _ in named}):
            self.adopt([pair for pair in named if born.get(pair[0], 0) == birth], born=birth)

    def adopt(self, named: Iterable[tuple[str, nn.Parameter]], *, born: int) -> None:
        """Take over parameters that entered the model at step `born`."""
        self.groups += self._take(named, born=born)

    def rename(self, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Call the parameters that it has by these names; all else of them stays. Others are not taken over."""
        names = {parameter: name for name, parameter in named}
        self.born = {names[parameter]: self.born[before] for before, parameter in self._parameters.items()}
        self._parameters = {names[parameter]: parameter for parameter in self._parameters.values()}

    def inherit(self, originals: Mapping[str, str], *, scale: float) -> None:
        """Begin with the state of other parameters, by name: first moments times `scale`, second ones times its square.

        Their step count comes with them, since the moments are as much biased as theirs. A scale of 0 leaves new
        parameters without a state, as does an original that was never updated.
        """
        if not scale:
            return
        for name, original in originals.items():
            if state := self._moments.get(self._parameters[original]):
                self._moments[self._parameters[name]] = {
                    "step": state["step"].clone(),
                    "exp_avg": state["exp_avg"] * scale,
                    "exp_avg_sq": state["exp_avg_sq"] * scale**2,
                }

    def set_lr(self, lr: float, *, step: int, rewarm_steps: int, new_lr_factor: float = 1.0) -> None:
        """Set the lr of every group; of those that grew it rises over `rewarm_steps` to `new_lr_factor` times lr."""
        for group in self.groups:
            share = rewarm(step, group.born, rewarm_steps)
            group.lr.fill_(lr * (share * new_lr_factor if group.born else share))

    def step(self) -> Float[Tensor, ""]:
        """Clip and update; returns the gradient's norm before clipping, on the device. No synchronisation."""
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self.spec.grad_clip)
        for group in self.groups:
            self._update(group)
        return norm

    @torch.no_grad()
    def _update(self, group: ParameterGroup) -> None:
        """Update those parameters of a group that have a gradient, which they lose."""
        updated, gradients = [], []
        for parameter in group.parameters:
            if parameter.grad is not None:
                updated.append(parameter)
                gradients.append(parameter.grad)
                parameter.grad = None
        moments = [self._moments_of(parameter) for parameter in updated]
        steps, means, squares = ([each[name] for each in moments] for name in _MOMENTS)
        adamw(
            list[Tensor](updated),
            gradients,
            means,
            squares,
            [],  # of AMSGrad
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.spec.beta1,
            beta2=self.spec.beta2,
            lr=group.lr,
            weight_decay=group.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )

    def _moments_of(self, parameter: nn.Parameter) -> dict[str, Float[Tensor, "..."]]:
        """What is remembered of a parameter, from its first update on; all of it on its device, as graphs need it."""
        if parameter not in self._moments:
            step = torch.zeros((), dtype=torch.float32, device=parameter.device)
            self._moments[parameter] = dict(
                zip(_MOMENTS, (step, torch.zeros_like(parameter), torch.zeros_like(parameter)), strict=True)
            )
        return self._moments[parameter]

    def state(self) -> dict[str, Float[Tensor, "..."]]:
        """Moments by 'name/exp_avg', … for every parameter that has been updated at least once."""
        return {
            f"{name}/{moment}": self._moments[parameter][moment]
            for name, parameter in self._parameters.items()
            if parameter in self._moments
            for moment in _MOMENTS
        }

    def load(self, state: dict[str, Float[Tensor, "..."]]) -> None:
        """Restore `state`, onto parameters of the same names."""
        for name, parameter in self._parameters.items():
            if f"{name}/step" not in state:
                continue
            self._moments[parameter] = {
                moment: state[f"{name}/{moment}"].to(self.device).clone() for moment in _MOMENTS
            }

    def _take(self, named: Iterable[tuple[str, nn.Parameter]], *, born: int) -> list[ParameterGroup]:
        named = list(named)
        self._parameters.update(named)
        self.born.update((name, born) for name, _ in named)
        decayed = [parameter for _, parameter in named if _is_decayed(parameter)]
        undecayed = [parameter for _, parameter in named if not _is_decayed(parameter)]
        weight_decay = self.spec.weight_decay * (self.new_decay_factor if born else 1.0)
        return [
            ParameterGroup(chosen, decay, born, lr=torch.zeros((), device=self.device))
            for decay, chosen in ((weight_decay, decayed), (0.0, undecayed))
            if chosen
        ]


def _is_decayed(parameter: nn.Parameter) -> bool:
    return parameter.dim() >= 2 and not getattr(parameter, "no_decay", False)
