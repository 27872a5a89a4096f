"""The course of a growth: freeze what is there, insert, warm the new units up alone, unfreeze, cool down.

        train ──(trigger)──► warm-up ──(freeze_steps)──► cool-down ──(cooldown_steps)──► train
          ▲                                                                                │
          └────────────────────────────────────────────────────────────────────────────────┘

No trigger is asked at an evaluation outside `train`, and no schedule during a warm-up, so no growth can start during
another.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

import growlab.growth.operators
import growlab.growth.positions
import growlab.growth.triggers  # noqa: F401  (they fill the tables)
from growlab.growth.growable import Growable
from growlab.growth.identity import identities
from growlab.growth.moment import Moment, Trigger
from growlab.growth.paths import Paths
from growlab.growth.source import Made, Source, Weights
from growlab.growth.window import Window
from growlab.layout import BlockSpec
from growlab.plan import Entering, n_growths_of, next_growth
from growlab.recipes import FRESH, OPERATORS, TRIGGERS
from growlab.specs import WATCH_ALL, GrowthSpec

Phase = Literal["train", "warm-up", "cool-down"]


@dataclass
class GrowthState:
    """All that a checkpoint must hold of growth besides the weights and the windows."""

    phase: Phase = "train"
    phase_ends_at: int = 0  # step at which warm-up or cool-down is over
    trigger: dict[str, Any] = field(default_factory=dict)  # what the trigger remembers
    n_growths: int = 0
    positions: list[int] = field(
        default_factory=list
    )  # at which each grown unit entered; [] of rows where all were on top
    n_new: int = 1  # units of the newest growth, which train alone in its warm-up
    enclosed: list[int] = field(default_factory=list)  # old units that became each of those; [] where none ever did


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A unit that was inserted, or that old ones became, and how."""

    position: int
    blocks: tuple[BlockSpec, ...]
    operator: str  # FRESH where the asked operator had nothing to make it of
    unit: nn.Module
    original: nn.Module | None  # the old unit of the same kinds that it was made of, if any


class GrowthProtocol:
    """The protocol, which decides and acts; the caller owns the optimizer, the evaluation and the clock (the step)."""

    def __init__(
        self,
        spec: GrowthSpec,
        model: Growable,
        *,
        seed: int,
        positions: Iterable[int] = (),
        enclosed: Iterable[int] = (),
    ) -> None:
        """Begin with `positions`, at which each unit entered that the model has grown so far.

        `enclosed` gives how many old units became each of them, () that none did.
        """
        self.spec, self.model, self.seed = spec, model, seed
        self.paths = Paths(spec.history_window_size)
        self.positions = list(positions)
        self.enclosed = list(enclosed) or [0] * len(self.positions)
        self._phase: Phase = "train"
        self._phase_ends_at = 0
        self._n_new = 1
        self._n_first = len(model.units) - len(self.positions) + sum(self.enclosed)
        options = TRIGGERS[spec.trigger.name].read(spec.trigger.options)
        self._most_growths: int | None = options.n_growths()
        self._critical: Mapping[str, float] = options.critical()
        self._trigger: Trigger = TRIGGERS[spec.trigger.name].make(options)

    # ---- where it stands ------------------------------------------------------------------------------------

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def n_grown(self) -> int:
        """The number of units that have grown so far."""
        return len(self.positions)

    @property
    def unit_identities(self) -> list[int]:
        """The identities of the model's units, in their order."""
        return identities(self._n_first, self.positions, self.enclosed)

    @property
    def places(self) -> dict[int, int]:
        """The place of each unit by its identity."""
        return {unit: place for place, unit in enumerate(self.unit_identities)}

    @property
    def watched(self) -> int:
        """Index of the unit whose path the trigger acts on: the newest."""
        units = self.unit_identities
        return units.index(max(units))

    @property
    def window(self) -> Window:
        """The path of the newest unit."""
        return self.paths.newest

    def state(self) -> GrowthState:
        return GrowthState(
            phase=self._phase,
            phase_ends_at=self._phase_ends_at,
            trigger=self._trigger.state(),
            n_growths=self.n_grown,
            positions=self.positions,
            n_new=self._n_new,
            enclosed=self.enclosed,
        )

    def restore(self, state: GrowthState) -> None:
        """Go on from a state, with a model that has its units already."""
        self._enter(state.phase, state.phase_ends_at)
        self._n_new = state.n_new
        self._trigger.restore(state.trigger)

    def restore_paths(
        self,
        tensors: Mapping[str, Shaped[Tensor, "..."]],
        increments: Sequence[Mapping[str, Float[Tensor, "..."]]],
        device: torch.device,
    ) -> None:
        """Go on from the windows that a checkpoint holds. Raises KeyError for what is missing."""
        self.paths.load(*self._watched_units(), tensors, increments, device)

    # ---- the paths of the weights ---------------------------------------------------------------------------

    def snapshot(self) -> int:
        """Take a snapshot of every unit that is watched, and return the FLOPs that it cost."""
        return self.paths.snapshot(*self._watched_units())

    def _watched_units(self) -> tuple[nn.Module, dict[int, nn.Module], dict[int, nn.Module]]:
        """The newest unit, those besides it that the next growth needs whole, and those to be sketched: by identity,
        the eldest first, and the same ones until the next growth.
        """
        units = dict(sorted(zip(self.unit_identities, self.model.units, strict=True)))
        newest = units.pop(max(units))
        if self.spec.watch != WATCH_ALL:
            return newest, {}, {}
        needed = self._extrapolated()
        others = {unit: module for unit, module in units.items() if unit in needed}
        return newest, others, {unit: module for unit, module in units.items() if unit not in needed}

    def _extrapolated(self) -> set[int]:
        """Identities of the units whose path the next growth makes new ones of."""
        if not OPERATORS[self.spec.operator.name].options.needs_path or not self._may_grow_again():
            return set()
        return {self.unit_identities[new.origin] for new in self._entering()}

    def _may_grow_again(self) -> bool:
        """Whether the trigger may ask once more; where there is no room then, no unit enters."""
        done = n_growths_of(self.spec, self._n_first, self.enclosed)
        return self._most_growths is None or done < self._most_growths

    # ---- when -----------------------------------------------------------------------------------------------

    def snapshot_due(self, step: int) -> bool:
        return self.spec.grows and step % self.spec.collect_interval_steps == 0

    def ask_trigger(self, moment: Moment, *, may_grow: bool = True) -> bool:
        """Ask the trigger, once at every evaluation as it remembers them, and return whether the model is to grow."""
        if not may_grow or self._phase != "train" or not self._entering():
            self._trigger.look(moment)
            return False
        return self._trigger.check(moment)

    def is_due(self, progress: float) -> bool:
        """Whether the trigger's schedule asks for a growth at this progress; cheap, for every step."""
        return self._trigger.is_due(progress) and self._phase != "warm-up" and bool(self._entering())

    def pass_over(self) -> None:
        """Go on without the growth that was asked for."""
        self._trigger.forget()

    # ---- how ------------------------------------------------------------------------------------------------

    def grow(self, step: int) -> list[Grown]:
        """Insert the units of one growth and freeze the rest for `freeze_steps`. All windows start anew.

        Returns them from the input side to the output side; each is made of the model as it was before. A unit that
        old ones became counts as new, in its place: what it holds trains alone in the warm-up.
        """
        old, planned = list(self.model.units), self._entering()
        seeds = [self.seed + 1 + self.n_grown + at for at in range(len(planned))]
        units = [self._new_unit(new, seed) for new, seed in zip(planned, seeds, strict=True)]
        n_alike = Counter(new.origin for new in planned)
        all_made = [
            self._make(unit, new, n_alike[new.origin], seed)
            for new, unit, seed in zip(planned, units, seeds, strict=True)
        ]
        inherits = OPERATORS[self.spec.operator.name].options.inherits
        grown = []
        for new, unit, made in zip(planned, units, all_made, strict=True):
            model_of = old[new.origin]
            has_original = made is not None and inherits and self._same_kinds(model_of, unit)
            grown.append(self._enter_unit(new, unit, made, model_of if has_original else None))
        for made in filter(None, all_made):
            for index, weights in made.old.items():
                fill(old[index], weights, self.spec.operator.name)
        self._n_new = len(grown)
        self.paths.clear()
        self._trigger.forget()
        self._enter("warm-up", step + self.spec.freeze_steps)
        self.advance_to(step)  # a warm-up of no steps is over at once
        self.apply_freezing()
        return grown

    def _enter_unit(self, new: Entering, unit: nn.Module, made: Made | None, original: nn.Module | None) -> Grown:
        if made is not None:
            fill(unit, made.new, self.spec.operator.name)
        if not new.encloses:
            scale(self.model.out_projections(unit), 0.0 if made is None else self.spec.entry_scale)
        del self.model.units[new.place : new.place + new.encloses]
        self.model.insert_unit(new.place, unit)
        self.positions.append(new.place)
        self.enclosed.append(new.encloses)
        return Grown(
            position=new.place,
            blocks=self.model.blocks_of(unit),
            operator=FRESH if made is None else self.spec.operator.name,
            unit=unit,
            original=original,
        )

    def _make(self, unit: nn.Module, new: Entering, n_alike: int, seed: int) -> Made | None:
        part = OPERATORS[self.spec.operator.name]
        source = Source(
            units=list(self.model.units),
            unit=unit,
            position=new.gap,
            origin=new.origin,
            n_alike=n_alike,
            watched=self.watched,
            windows={self.watched: self.window} | self._windows_of_others(),
            same_kinds=self._same_kinds,
            out_projections=self.model.out_projections,
            norm_gains=lambda of: self.model.norm_gains(of),  # which not every model has, as few operators ask for it
            critical=self._critical,
            entry_scale=self.spec.entry_scale,
            seed=seed,
        )
        with torch.no_grad():
            made: Made | None = part.make(source, part.read(self.spec.operator.options))
        return made

    def _windows_of_others(self) -> dict[int, Window]:
        places = self.places
        return {places[unit]: window for unit, window in self.paths.others.items()}

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
        names = self.unit_identities
        for unit in sorted(range(len(names)), key=names.__getitem__)[len(names) - self._n_new :]:
            for parameter in self.model.units[unit].parameters():
                parameter.requires_grad_(True)

    def _enter(self, phase: Phase, ends_at: int) -> None:
        self._phase, self._phase_ends_at = phase, ends_at

    def _entering(self) -> list[Entering]:
        """The units of the next growth; [] where there is no room for them."""
        return next_growth(self.spec, [self.model.blocks_of(unit) for unit in self.model.units], self.watched)

    def _new_unit(self, new: Entering, seed: int) -> nn.Module:
        if new.encloses:
            return self.model.enclose(list(self.model.units)[new.place : new.place + new.encloses], new.blocks)
        return self._fresh_unit(new.blocks, seed)

    def _fresh_unit(self, blocks: tuple[BlockSpec, ...], seed: int) -> nn.Module:
        """Make a unit whose weights depend on the seed alone, not on what dropout has drawn."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # a GPU's goes on undisturbed
            return self.model.make_unit(blocks)

    def _same_kinds(self, one: nn.Module, other: nn.Module) -> bool:
        return self.model.blocks_of(one) == self.model.blocks_of(other)


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
def scale(parameters: Iterable[nn.Parameter], by: float) -> None:
    """Multiply the parameters in place: 1 leaves every bit, 0 leaves zeros, whatever stood there."""
    for parameter in parameters:
        if by == 0:
            parameter.zero_()
        elif by != 1:
            parameter.mul_(by)
