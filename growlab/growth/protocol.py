"""The course of a growth: freeze what is there, insert, warm the new unit up alone, unfreeze, cool down.

        train ──(trigger)──► warm-up ──(freeze_steps)──► cool-down ──(cooldown_steps)──► train
          ▲                                                                                │
          └────────────────────────────────────────────────────────────────────────────────┘

Nothing is checked outside `train`, so no growth can start during another. New units are appended at
the output side.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from growlab.growth.growable import Growable
from growlab.growth.operators import OPERATORS
from growlab.growth.trigger import StagnationTrigger
from growlab.growth.window import Window
from growlab.layout import BlockSpec, parse_blocks
from growlab.specs import GrowthSpec

Phase = Literal["train", "warm-up", "cool-down"]


@dataclass
class GrowthState:
    """All that a checkpoint must hold besides the weights and the window."""

    phase: Phase = "train"
    phase_ends_at: int = 0  # step at which warm-up or cool-down is over
    trigger: StagnationTrigger = field(default_factory=StagnationTrigger)
    n_growths: int = 0


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What an insertion did."""

    position: int
    blocks: tuple[BlockSpec, ...]
    operator: str  # identity where the asked operator had no source of the same blocks
    unit: nn.Module


class GrowthProtocol:
    """Decides and acts; the caller owns the optimizer, the evaluation and the clock (the step)."""

    def __init__(self, spec: GrowthSpec, model: Growable, *, seed: int) -> None:
        self.spec, self.model, self.seed = spec, model, seed
        self.state = GrowthState()
        self.window = Window(spec.history_window_size)

    @property
    def watched(self) -> int:
        """Index of the unit whose window is kept: the newest."""
        return len(self.model.units) - 1

    def snapshot_due(self, step: int) -> bool:
        return self.spec.trigger != "never" and step % self.spec.collect_interval_steps == 0

    def wants_to_grow(self, step: int, tau: float | None, kappa: float | None, val_loss: float) -> bool:
        """Called at every evaluation. Counts it as a check only where checks are made."""
        checks = self.spec.trigger != "never" and self.state.phase == "train" and step >= self.spec.warmup_steps
        if not checks or not self._fits_another():
            self.state.trigger.look(val_loss)
            return False
        return self.state.trigger.check(self.spec, tau, kappa, val_loss)

    def grow(self, step: int) -> Grown:
        """Insert a unit on top and freeze the rest for `freeze_steps`. The window starts anew."""
        blocks = self._next_blocks()
        source = self.model.units[self.watched]
        unit = self._fresh_unit(blocks)
        operator = "identity"
        if self.model.blocks_of(source) == self.model.blocks_of(unit) and len(self.window) > 0:
            operator = self.spec.operator
            fill(unit, self.window, self.spec)
        if self.spec.preserve_function or operator == "identity":
            zero(self.model.out_projections(unit))
        position = len(self.model.units)
        self.model.insert_unit(position, unit)
        self.window.clear()
        self.state.n_growths += 1
        self.state.trigger.stagnant_checks = 0
        self._enter("warm-up", step + self.spec.freeze_steps)
        self.advance_to(step)  # a warm-up of no steps is over at once
        self.apply_freezing()
        return Grown(position=position, blocks=self.model.blocks_of(unit), operator=operator, unit=unit)

    def advance_to(self, step: int) -> bool:
        """Move on to the phase that holds at `step`. True when what is frozen changed."""
        before = self.state.phase
        if self.state.phase == "warm-up" and step >= self.state.phase_ends_at:
            self._enter("cool-down", self.state.phase_ends_at + self.spec.cooldown_steps)
        if self.state.phase == "cool-down" and step >= self.state.phase_ends_at:
            self._enter("train", 0)
        if before == "warm-up" and self.state.phase != "warm-up":
            self.apply_freezing()
            return True
        return False

    def apply_freezing(self) -> None:
        """Set requires_grad of every parameter as the phase asks; frozen ones lose their gradient."""
        warming = self.state.phase == "warm-up"
        for parameter in self.model.parameters():
            parameter.requires_grad_(not warming)
            parameter.grad = None
        for parameter in self.model.units[self.watched].parameters():
            parameter.requires_grad_(True)

    def _enter(self, phase: Phase, ends_at: int) -> None:
        self.state.phase, self.state.phase_ends_at = phase, ends_at

    def _next_blocks(self) -> tuple[BlockSpec, ...]:
        if self.spec.unit != "last":
            return parse_blocks(self.spec.unit)
        return self.model.blocks_of(self.model.units[self.watched])

    def _fresh_unit(self, blocks: tuple[BlockSpec, ...]) -> nn.Module:
        """Its weights depend on the seed and the count of growths, not on how much dropout has drawn."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed + 1 + self.state.n_growths)  # a GPU's goes on undisturbed
            return self.model.make_unit(blocks)

    def _fits_another(self) -> bool:
        depth = sum(len(self.model.blocks_of(unit)) for unit in self.model.units)
        return depth + len(self._next_blocks()) <= self.spec.max_depth


@torch.no_grad()
def fill(unit: nn.Module, window: Window, spec: GrowthSpec) -> None:
    """Give every parameter of a fresh unit what the operator makes of its namesake's path.

    What a block marked `copied_at_growth` (time constants, skips) is copied, whatever the operator.
    Raises ValueError for an operator that gives a tensor of another shape.
    """
    extrapolate = OPERATORS[spec.operator].extrapolate
    if extrapolate is None:
        return
    for name, parameter in unit.named_parameters():
        path = window.path(name)
        new = path.last if getattr(parameter, "copied_at_growth", False) else extrapolate(path, spec)
        if new.shape != parameter.shape:  # copy_ would broadcast it
            got, expected = tuple(new.shape), tuple(parameter.shape)
            raise ValueError(f"growth operator {spec.operator!r} gave {name} the shape {got}; it must be {expected}")
        parameter.copy_(new)


@torch.no_grad()
def zero(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.zero_()
