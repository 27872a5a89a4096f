"""The optimizer of a model that grows: it adopts new parameters, and what it remembers goes by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.growth.identity import is_of_a_unit
from growlab.specs import TrainSpec
from growlab.training.rules import AdamW, Muon, Rule, State
from growlab.training.schedule import rewarm


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that entered the model at step `born`, all updated by one rule and decayed alike."""

    parameters: list[nn.Parameter]
    rule: Rule
    weight_decay: float
    born: int
    lr: Float[Tensor, ""]  # on the device


class GrowingOptimizer:
    """AdamW that adopts parameters, or with train.optimizer muon Muon for the matrices of units and AdamW for the rest.

    Matrices are decayed; vectors, and what a block marked `no_decay`, are not. lr is a tensor, so that a captured step
    can read it.

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
        self._states: dict[nn.Parameter, State] = {}  # of those that have been updated
        self._adamw, self._muon = AdamW(spec), Muon()
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
            if state := self._states.get(self._parameters[original]):
                powers = self._rule_for(original, self._parameters[original]).powers
                self._states[self._parameters[name]] = {
                    moment: state[moment] * scale**power if power else state[moment].clone()
                    for moment, power in powers.items()
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
        states = [self._state_of(parameter, group.rule) for parameter in updated]
        group.rule.update(list[Tensor](updated), gradients, states, group.lr, group.weight_decay)

    def _state_of(self, parameter: nn.Parameter, rule: Rule) -> State:
        """What is remembered of a parameter, from its first update on."""
        if parameter not in self._states:
            self._states[parameter] = rule.begin(parameter)
        return self._states[parameter]

    def state(self) -> dict[str, Float[Tensor, "..."]]:
        """Moments by 'name/exp_avg', … for every parameter that has been updated at least once."""
        return {
            f"{name}/{moment}": self._states[parameter][moment]
            for name, parameter in self._parameters.items()
            if parameter in self._states
            for moment in self._rule_for(name, parameter).powers
        }

    def load(self, state: dict[str, Float[Tensor, "..."]]) -> None:
        """Restore `state`, onto parameters of the same names."""
        for name, parameter in self._parameters.items():
            moments = self._rule_for(name, parameter).powers
            if all(f"{name}/{moment}" in state for moment in moments):
                self._states[parameter] = {
                    moment: state[f"{name}/{moment}"].to(self.device).clone() for moment in moments
                }

    def _take(self, named: Iterable[tuple[str, nn.Parameter]], *, born: int) -> list[ParameterGroup]:
        named = list(named)
        self._parameters.update(named)
        self.born.update((name, born) for name, _ in named)
        matrices = [each for name, each in named if self._rule_for(name, each) is self._muon]
        rest = [each for name, each in named if self._rule_for(name, each) is self._adamw]
        weight_decay = self.spec.weight_decay * (self.new_decay_factor if born else 1.0)
        return [
            ParameterGroup(chosen, rule, decay, born, lr=torch.zeros((), device=self.device))
            for rule, decay, chosen in (
                (self._muon, weight_decay, matrices),
                (self._adamw, weight_decay, [each for each in rest if _is_decayed(each)]),
                (self._adamw, 0.0, [each for each in rest if not _is_decayed(each)]),
            )
            if chosen
        ]

    def _rule_for(self, name: str, parameter: nn.Parameter) -> Rule:
        of_muon = self.spec.optimizer == "muon" and is_of_a_unit(name) and _is_matrix(parameter)
        return self._muon if of_muon else self._adamw


def _is_decayed(parameter: nn.Parameter) -> bool:
    return parameter.dim() >= 2 and not getattr(parameter, "no_decay", False)


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it maps one width onto another, or is several that do; filters and dynamics of channels do not."""
    return _is_decayed(parameter) and (parameter.dim() == 2 or getattr(parameter, "holds_matrices", False))
