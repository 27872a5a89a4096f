"""The un-grown envelope: the least compute that training from scratch needs for a loss, and speed-ups against it.

Un-grown models of several depths are trained at several budgets on every seed. The envelope of a seed is a falling
line of val_loss (nats per token) over log compute (FLOPs), made in three steps:

1. *Which runs are on it* is chosen once for all seeds, by means over them (`frontier`): at each budget the depth that
   is best there and at the budgets beside; and the budget only if no cheaper one has reached its loss already
   (un-grown training that overfits could have stopped). A minimum within each seed would be one over noise: where
   three depths are equally good, an arm that does nothing would read 'worse' in three of four experiments of 16 seeds.
   A choice by means, and by three budgets at once as the best depth changes slowly with compute, leaves a third of a
   standard error of that at worst, against the arm. Where one depth is clearly the best there is next to none
   (+0.1 % of compute, from straight lines through noise).
2. *Noise within a seed* can still make a dearer run worse than a cheaper one. Neighbours that do not fall are pooled
   into one point at their mean in log compute and in loss (pool adjacent violators, least squares under monotony:
   Ayer et al. 1955). Then the line falls strictly, and every loss between its ends has one compute.
3. *Between points* val_loss is a straight line in log compute. Beyond the ends nothing is known: a loss below the
   line's last point needs more than the last point's compute, one above its first less than the first's.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from growlab.statistics.gains import Bound, Gain


class Cell(NamedTuple):
    """What is repeated over seeds: a depth at a budget."""

    budget: float  # FLOPs, or a share of the arms'; the same number on all seeds
    depth: int


@dataclass(frozen=True, kw_only=True)
class UngrownRun:
    cell: Cell
    flops: float  # charged, which whole steps make a little different from the budget
    val_loss: float  # nats per token, at the end of the run's own decay


def frontier(runs: Mapping[int, Sequence[UngrownRun]]) -> tuple[Cell, ...]:
    """The cells that the envelope is made of, by rising budget, from the runs of each seed.

    A cell that is missing on a seed, or diverged there, is on nobody's envelope.
    """
    means = _means(runs)
    budgets = sorted({cell.budget for cell in means})
    kept: list[Cell] = []
    for at in range(len(budgets)):
        best = _best(means, budgets[at], budgets[max(0, at - 1) : at + 2])
        if not kept or means[best] < means[kept[-1]]:
            kept.append(best)
    return tuple(kept)


def _means(runs: Mapping[int, Sequence[UngrownRun]]) -> dict[Cell, float]:
    """Mean val_loss of the cells that every seed has, where it is finite."""
    losses: dict[Cell, list[float]] = {}
    for of_seed in runs.values():
        for run in of_seed:
            losses.setdefault(run.cell, []).append(run.val_loss)
    means = {cell: fmean(values) for cell, values in losses.items() if len(values) == len(runs)}
    return {cell: mean for cell, mean in means.items() if math.isfinite(mean)}


def _best(means: Mapping[Cell, float], budget: float, neighbours: Sequence[float]) -> Cell:
    """The depth that is best here and at the budgets beside, as far as those hold every depth that is here."""
    depths = [cell.depth for cell in means if cell.budget == budget]
    compared = [beside for beside in neighbours if all(Cell(beside, depth) in means for depth in depths)]
    return Cell(budget, min(depths, key=lambda depth: fmean(means[Cell(beside, depth)] for beside in compared)))


@dataclass(frozen=True)
class Envelope:
    """Points of one seed: log compute rises strictly, val_loss falls strictly."""

    log_flops: tuple[float, ...]
    val_losses: tuple[float, ...]

    @classmethod
    def of(cls, runs: Iterable[UngrownRun]) -> "Envelope":
        """The line through one seed's runs, those of the frontier; neighbours that do not fall are pooled."""
        pools: list[_Pool] = []
        for run in sorted(runs, key=lambda run: run.flops):
            pools.append(_Pool(math.log(run.flops), run.val_loss, 1))
            while len(pools) > 1 and pools[-1].val_loss >= pools[-2].val_loss:
                last = pools.pop()
                pools[-1] = pools[-1].with_(last)
        assert pools, "an envelope of no runs"
        return cls(tuple(pool.log_flops for pool in pools), tuple(pool.val_loss for pool in pools))

    def log_compute(self, val_loss: float) -> Gain:
        """ln FLOPs that un-grown training needs for this loss; a bound beyond the ends."""
        if val_loss < self.val_losses[-1]:
            return Gain(self.log_flops[-1], Bound.AT_LEAST)
        if val_loss > self.val_losses[0]:
            return Gain(self.log_flops[0], Bound.AT_MOST)
        right = bisect_left(self.val_losses, -val_loss, key=lambda loss: -loss)
        if self.val_losses[right] == val_loss:
            return Gain(self.log_flops[right])
        (x0, x1), (y0, y1) = self.log_flops[right - 1 : right + 1], self.val_losses[right - 1 : right + 1]
        return Gain(x0 + (x1 - x0) * (y0 - val_loss) / (y0 - y1))

    def speed_up(self, val_loss: float, flops: float) -> Gain:
        """ln (compute that the envelope needs for this loss / compute that was spent): 0 no gain, ln 1.4 = 1.4 ×."""
        need = self.log_compute(val_loss)
        return Gain(need.value - math.log(flops), need.bound)


class _Pool(NamedTuple):
    log_flops: float
    val_loss: float
    n: int

    def with_(self, other: "_Pool") -> "_Pool":
        n = self.n + other.n
        return _Pool(
            (self.n * self.log_flops + other.n * other.log_flops) / n,
            (self.n * self.val_loss + other.n * other.val_loss) / n,
            n,
        )


def envelopes(runs: Mapping[int, Sequence[UngrownRun]]) -> dict[int, Envelope]:
    """The envelope of each seed, over the cells that all seeds share."""
    cells = set(frontier(runs))
    return {seed: Envelope.of(run for run in of_seed if run.cell in cells) for seed, of_seed in runs.items()}


def ratio_text(speed_up: Gain) -> str:
    """A log speed-up, or a mean of them, as people read it: '1.39 ×', '> 2.50 ×', '< 0.50 ×'."""
    signs = {Bound.EXACT: "", Bound.AT_LEAST: "> ", Bound.AT_MOST: "< ", Bound.NONE: "no bound, some "}
    return f"{signs[speed_up.bound]}{math.exp(speed_up.value):.2f} ×"


def log_margin(share: float) -> float:
    """The margin 'within ± share' of speed-ups: ln(1 + share), so from ÷ (1 + share) to × (1 + share)."""
    return math.log1p(share)
