"""Trainings as rows of a table: what a study exports, and what a simulation looks the results of its trials up in.

    layout          as text
    train.lr, …     a scalar by its full name, or by the last part of it where a study has one of that name alone (lr);
                    empty where it does not act
    state           completed, diverged, leak, failed or paused; without such a column: completed
    seed            of the trial: which one is meant where several have all the rest in common
    flops           that it spent until its end, or until it was paused
    budget_flops    of its whole budget; without such a column: flops
    layout_end      as it ended, where it may have grown
    val_loss, best_val_loss, bits_per_byte    at its end; without val_loss: what the last of the columns below says
    accuracy, …     every other metric that a study judges by and that no layout tells, by its key
    loss@0.25       val_loss at that share of its budget
    loss_400        val_loss after so many steps; the largest number of steps in any such column is the whole budget
    readings        at its rungs: a list of growlab.records.RungReading, in JSON
    elapsed_s       seconds that it took
    peak_memory     bytes of a GPU

A table is TSV or CSV. Layout and flops must be there, every scalar that the study searches, and every metric that it
judges by.
"""

import json
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from growlab.domains import Value
from growlab.records import LOSSES, Loss, RungReading, TrialState

FIXED = (
    *("layout", "state", "seed", "flops", "budget_flops", "layout_end"),
    *LOSSES,
    *("readings", "elapsed_s", "peak_memory"),
)
AT_SHARE, AT_STEP = "loss@", "loss_"  # how names of columns of a curve begin
PACKED = ".xz"  # how the name of a file ends that is packed


@dataclass(frozen=True, kw_only=True)
class Training:
    """What became of a trial, as far as a table says it."""

    layout: str
    params: Mapping[str, Value]  # scalars by full name
    state: TrialState  # final, or paused
    flops: int
    budget_flops: int
    losses: Mapping[Loss, float]
    metrics: Mapping[str, float] = field(default_factory=dict)  # others, by their keys
    layout_end: str = ""
    curve: Mapping[float, float] = field(default_factory=dict)  # share of the budget to val_loss; the shares rise
    readings: tuple[RungReading, ...] = ()
    seed: int | None = None
    elapsed_s: float | None = None
    peak_memory: float | None = None

    def loss_at(self, share: float) -> float | None:
        """val_loss at a share of the budget, between two that are known by ln FLOPs; None before and after all."""
        return interpolated(self.curve, share)


def interpolated(curve: Mapping[float, float], share: float) -> float | None:
    """A value of a curve at a share, in a straight line over the logarithm of shares; None outside of it."""
    shares = list(curve)
    at = bisect_left(shares, share * (1 - 1e-9))
    if at == len(shares):
        return None
    if math.isclose(shares[at], share):
        return curve[shares[at]]
    if at == 0:
        return None
    lower, upper = shares[at - 1 : at + 1]
    part = math.log(share / lower) / math.log(upper / lower)
    return curve[lower] + part * (curve[upper] - curve[lower])


def columns_and_rows(trainings: Sequence[Training], scalars: Iterable[str]) -> tuple[list[str], Iterator[list[object]]]:
    """The names of a table's columns and its rows; `scalars` are those that have a column even if none acted."""
    params = list(dict.fromkeys([*scalars, *(name for training in trainings for name in training.params)]))
    metrics = list(dict.fromkeys(key for training in trainings for key in training.metrics))
    shares = sorted({share for training in trainings for share in training.curve})
    first, *others = FIXED
    names = [first, *params, *others, *metrics, *(f"{AT_SHARE}{share:g}" for share in shares)]
    return names, (_row(training, params, metrics, shares) for training in trainings)


def _row(training: Training, params: Sequence[str], metrics: Sequence[str], shares: Sequence[float]) -> list[object]:
    readings = json.dumps([asdict(reading) for reading in training.readings]) if training.readings else None
    return [
        training.layout,
        *(training.params.get(name) for name in params),
        training.state.value,
        training.seed,
        training.flops,
        training.budget_flops,
        training.layout_end,
        *(training.losses.get(loss) for loss in LOSSES),
        readings,
        training.elapsed_s,
        training.peak_memory,
        *(training.metrics.get(key) for key in metrics),
        *(training.curve.get(share) for share in shares),
    ]
