"""Warm-up, stable, decay: the learning rate as a pure function of progress.

A cosine that begins where the warm-up ends is the schedule of nanoGPT: decay_fraction = 1 - warmup_fraction.

Progress is what was spent over the budget, in the budget's own unit, so the number of steps need not be
known, and growth does not move the end of the schedule. The stage of a curriculum is a function of it likewise.
"""

import math
from collections.abc import Sequence

from growlab.specs import StageSpec, TrainSpec


def lr_at(progress: float, spec: TrainSpec) -> float:
    """The learning rate for the step that begins at `progress` in [0, 1).

    Rises linearly from 0 (a warm-up's first step gets a small share instead: it must not be lost), stays,
    and falls, in a straight line or in half a cosine, to lr * min_lr_ratio at progress 1.
    """
    if progress < spec.warmup_fraction:
        return spec.lr * max(progress / spec.warmup_fraction, 0.01)
    if progress > 1 - spec.decay_fraction:
        remaining = max(0.0, 1 - progress) / spec.decay_fraction
        return spec.lr * (spec.min_lr_ratio + (1 - spec.min_lr_ratio) * decay(remaining, spec))
    return spec.lr


def decay(remaining: float, spec: TrainSpec) -> float:
    """The share of a fall that is still ahead when this part of the decay is: 1 at its beginning, 0 at its end."""
    return (1 - math.cos(math.pi * remaining)) / 2 if spec.decay_shape == "cosine" else remaining


def stage_at(progress: float, curriculum: Sequence[StageSpec]) -> int:
    """Index of the stage to which the step that begins at `progress` belongs; 0 without a curriculum.

    A stage ends at the first step with progress >= until. Progress is a quotient of two integers and `until` a decimal
    fraction, both rounded alike: 15 of 100 steps are 0.15.
    """
    passed = sum(progress >= stage.until for stage in curriculum)
    return min(passed, max(len(curriculum) - 1, 0))


def rewarm(step: int, born: int, rewarm_steps: int) -> float:
    """The share of lr that parameters born at step `born` get at `step` ≥ born; those born at 0 get all."""
    if born == 0 or rewarm_steps == 0:
        return 1.0
    return min(1.0, (step - born + 1) / rewarm_steps)
