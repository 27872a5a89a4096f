"""The course of a growth: freeze what is there, insert, warm the new unit up alone, unfreeze, cool down.

        train ──(trigger)──► warm-up ──(freeze_steps)──► cool-down ──(cooldown_steps)──► train
          ▲                                                                                │
          └────────────────────────────────────────────────────────────────────────────────┘

No trigger is asked outside `train`, so no growth can start during another.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

import growlab.growth.operators
import growlab.growth.positions
import growlab.growth.triggers  # noqa: F401  (they fill the tables)
from growlab.growth.growable import Growable
from growlab.growth.identity import identities
from growlab.growth.moment import Moment, Trigger
from growlab.growth.source import Made, Source, Weights
from growlab.growth.window import Window
from growlab.layout import BlockSpec, parse_blocks
from growlab.recipes import FRESH, OPERATORS, POSITIONS, TRIGGERS
from growlab.specs import GrowthSpec

Phase = Literal["train", "warm-up", "cool-down"]


@dataclass
class GrowthState:
    """All that a checkpoint must hold of growth besides the weights and the window."""

    phase: Phase = "train"
    phase_ends_at: int = 0  # step at which warm-up or cool-down is over
    trigger: dict[str, Any] = field(default_factory=dict)  # what the trigger remembers
    n_growths: int = 0
    positions: list[int] = field(
        default_factory=list
    )  # at which each grown unit entered; [] of rows where all were on top


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A unit that was inserted, and how."""

    position: int
    blocks: tuple[BlockSpec, ...]
    operator: str  # FRESH where the asked operator had nothing to make it of
    unit: nn.Module


class GrowthProtocol:
    """The protocol, which decides and acts; the caller owns the optimizer, the evaluation and the clock (the step)."""

    def __init__(self, spec: GrowthSpec, model: Growable, *, seed: int, positions: Iterable[int] = ()) -> None:
        """Begin with `positions`, at which each unit entered that the model has grown so far."""
        self.spec, self.model, self.seed = spec, model, seed
        self.window = Window(spec.history_window_size)
        self.positions = list(positions)
        self._phase: Phase = "train"
        self._phase_ends_at = 0
        self._n_first = len(model.units) - len(self.positions)
        options = TRIGGERS[spec.trigger.name].read(spec.trigger.options)
        self._critical: Mapping[str, float] = options.critical()
        self._trigger: Trigger = TRIGGERS[spec.trigger.name].make(options)

    # ---- where it stands ------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def n_growths(self) -> int:
        return len(self.positions)

    @property
    def unit_identities(self) -> list[int]:
        """The identities of the model's units, in their order."""
        return identities(self._n_first, self.positions)

    @property
    def watched(self) -> int:
        """Index of the unit whose window is kept: the newest."""
        units = self.unit_identities
        return units.index(max(units))

    def state(self) -> GrowthState:
        return GrowthState(
            phase=self._phase,
            phase_ends_at=self._phase_ends_at,
            trigger=self._trigger.state(),
            n_growths=self.n_growths,
            positions=self.positions,
        )

    def restore(self, state: GrowthState) -> None:
        """Go on from a state, with a model that has its units already."""
        self._enter(state.phase, state.phase_ends_at)
        self._trigger.restore(state.trigger)

    # ---- when -----------------------------------------------------------------------------------------------

    def snapshot_due(self, step: int) -> bool:
        return self.spec.grows and step % self.spec.collect_interval_steps == 0

    def wants_to_grow(self, moment: Moment) -> bool:
        """Whether the trigger asks for a growth; to be called once at every evaluation, as a trigger remembers."""
        if self._phase != "train" or not self._fits_another():
            self._trigger.look(moment)
            return False
        return self._trigger.check(moment)

    # ---- how ------------------------------------------------------------------------------------------------

    def grow(self, step: int) -> Grown:
        """Insert a unit and freeze the rest for `freeze_steps`. The window starts anew."""
        unit = self._fresh_unit(self._next_blocks())
        n_units = len(self.model.units)
        part = POSITIONS[self.spec.position.name]
        position: int = part.make(n_units, part.read(self.spec.position.options))
        if not 0 <= position <= n_units:
            raise ValueError(
                f"growth position {self.spec.position.name!r} is {position}, of a model of {n_units} units"
            )
        made = self._make(unit, position)
        if made is not None:
            fill(unit, made.new, self.spec.operator.name)
            for index, weights in made.old.items():
                fill(self.model.units[index], weights, self.spec.operator.name)
        if self.spec.preserve_function or made is None:
            zero(self.model.out_projections(unit))
        self.model.insert_unit(position, unit)
        self.positions.append(position)
        self.window.clear()
        self._trigger.forget()
        self._enter("warm-up", step + self.spec.freeze_steps)
        self.advance_to(step)  # a warm-up of no steps is over at once
        self.apply_freezing()
        operator = FRESH if made is None else self.spec.operator.name
        return Grown(position=position, blocks=self.model.blocks_of(unit), operator=operator, unit=unit)

    def _make(self, unit: nn.Module, position: int) -> Made | None:
        part = OPERATORS[self.spec.operator.name]
        source = Source(
            units=list(self.model.units),
            unit=unit,
            position=position,
            watched=self.watched,
            windows={self.watched: self.window},
            same_kinds=lambda one, other: self.model.blocks_of(one) == self.model.blocks_of(other),
            critical=self._critical,
        )
        with torch.no_grad():
            made: Made | None = part.make(source, part.read(self.spec.operator.options))
        return made

    def advance_to(self, step: int) -> bool:
        """Move on to the phase that holds at `step`. True when what is frozen changed."""
        before = self._phase
        if self._phase == "warm-up" and step >= self._phase_ends_at:
            self._enter("cool-down", self._phase_ends_at + self.spec.cooldown_steps)
        if self._phase == "cool-down" and step >= self._phase_ends_at:
            self._enter("train", 0)
        if before == "warm-up" and self._phase != "warm-up":
            self.apply_freezing()
            return True
        return False

    def apply_freezing(self) -> None:
        """Set requires_grad of every parameter as the phase asks; frozen ones lose their gradient."""
        warming = self._phase == "warm-up"
        for parameter in self.model.parameters():
            parameter.requires_grad_(not warming)
            parameter.grad = None
        for parameter in self.model.units[self.watched].parameters():
            parameter.requires_grad_(True)

    def _enter(self, phase: Phase, ends_at: int) -> None:
        self._phase, self._phase_ends_at = phase, ends_at

    def _next_blocks(self) -> tuple[BlockSpec, ...]:
        if self.spec.unit != "last":
            return parse_blocks(self.spec.unit)
        return self.model.blocks_of(self.model.units[self.watched])

    def _fresh_unit(self, blocks: tuple[BlockSpec, ...]) -> nn.Module:
        """Make a unit whose weights depend on the seed and the count of growths, not on how much dropout has drawn."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed + 1 + self.n_growths)  # a GPU's goes on undisturbed
            return self.model.make_unit(blocks)

    def _fits_another(self) -> bool:
        depth = sum(len(self.model.blocks_of(unit)) for unit in self.model.units)
        return depth + len(self._next_blocks()) <= self.spec.max_depth


@torch.no_grad()
def fill(unit: nn.Module, weights: Weights, operator: str) -> None:
    """Give the named parameters of a unit what an operator made.

    Raises ValueError for a tensor of another shape, or one that the unit has not.
    """
    parameters = dict(unit.named_parameters())
    for name, new in weights.items():
        if name not in parameters:
            raise ValueError(f"growth operator {operator!r} gave {name}, which the unit has not")
        if new.shape != parameters[name].shape:  # copy_ would broadcast it
            got, expected = tuple(new.shape), tuple(parameters[name].shape)
            raise ValueError(f"growth operator {operator!r} gave {name} the shape {got}; it must be {expected}")
        parameters[name].copy_(new)


@torch.no_grad()
def zero(parameters: Iterable[nn.Parameter]) -> None:
    """Make the parameters zero, in place."""
    for parameter in parameters:
        parameter.zero_()
