"""How trials compare at a rung, and what they would come to at the end.

A reading is brought to the FLOPs of its rung, as one that was taken later, so that a growth could pay, has had more of
them:

    value at the mark = value + slope · (ln mark − ln flops)

slope: the median over all readings at the rung, so that a trial's own recovery from a growth is not taken for learning.

What a trial would come to that waits, runs or was stopped at a mark is its last such value, and what trials gained from
there to the next rung, and so on to the end: the median over those that have been at both. It keeps the order of a
rung, and makes values of different rungs comparable. What was stopped by its own evaluations would come to no more than
it had; nobody knows how wrong that is.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean, median, pstdev

from growlab.records import Loss, PastTrial, RungReading, TrialState
from growlab.rungs import Rungs
from growlab.search.past import loss_of

LEAST_CHANGES = 3  # from which the spread of a step is taken
UNKNOWN = 0.5  # before: the sd of a step, as a share of that of the values below it


def value_of(reading: RungReading, metric: Loss) -> float:
    """What a reading says of a study's objective; inf where it says nothing."""
    value = reading.bits_per_byte if metric == "bits_per_byte" else reading.val_loss
    return math.inf if value is None else value


@dataclass(frozen=True)
class Standings:
    """The values of all trials at each rung, by number, at the FLOPs of the rung."""

    at: Sequence[Mapping[int, float]]
    orders: Sequence[Sequence[int]]  # the numbers at each, the lowest value first, of equal ones the lower number

    @classmethod
    def of(cls, past: Iterable[PastTrial], n_rungs: int, metric: Loss) -> "Standings":
        by_rung: list[dict[int, RungReading]] = [{} for _ in range(n_rungs)]
        for trial in past:
            for reading in trial.readings:
                by_rung[reading.rung][trial.number] = reading
        found = [_ordered(rung, readings, metric) for rung, readings in enumerate(by_rung)]
        return cls([values for values, _ in found], [order for _, order in found])


_Ordered = tuple[dict[int, float], list[int]]


def _ordered(rung: int, readings: Mapping[int, RungReading], metric: Loss) -> _Ordered:
    """The values at a rung, and their order; those of the last decision, where nobody has come to the rung since."""
    known = _KEPT.get((rung, metric))
    if known is None or known[0] != readings:
        values = at_mark(readings, metric)
        known = _KEPT[rung, metric] = readings, (values, sorted(values, key=lambda number: (values[number], number)))
    return known[1]


_KEPT: dict[tuple[int, Loss], tuple[Mapping[int, RungReading], _Ordered]] = {}


def at_mark(readings: Mapping[int, RungReading], metric: Loss) -> dict[int, float]:
    slopes = [
        reading.slope * (value_of(reading, metric) / reading.val_loss)  # in the objective's unit
        for reading in readings.values()
        if reading.slope is not None and reading.val_loss > 0
    ]
    slope = min(median(slopes), 0.0) if slopes else 0.0
    return {
        number: value_of(reading, metric)
        + (slope * (math.log(reading.mark) - math.log(reading.flops)) if reading.flops != reading.mark else 0.0)
        for number, reading in readings.items()
    }


def projected(past: Sequence[PastTrial], n_rungs: int, metric: Loss) -> list[PastTrial]:
    """The past in which every trial that came to a rung, or was stopped, has a value: its own, or what it would come to
    at the end.
    """
    standings = Standings.of(past, n_rungs, metric)
    ends = {trial.number: loss for trial in past if math.isfinite(loss := loss_of(trial))}
    steps = [_step(lower, upper) for lower, upper in pairwise([*standings.at, ends])]
    doubt = UNKNOWN * pstdev([trial.value for trial in past if trial.value is not None] or [0.0])

    def known(trial: PastTrial) -> PastTrial:
        if trial.state is TrialState.STOPPED and trial.stopped_by != "median":
            return trial if trial.value is None else replace(trial, state=TrialState.COMPLETED, value_sd=doubt)
        if not trial.readings or (trial.state.is_final and trial.state is not TrialState.STOPPED):
            return trial
        rung = trial.readings[-1].rung
        to_come = steps[rung:]
        value = standings.at[rung][trial.number] + sum(step.gain for step in to_come)
        sd = math.sqrt(sum(step.variance for step in to_come))
        return replace(trial, state=TrialState.COMPLETED, value=value, value_sd=sd)

    return [known(trial) for trial in past]


@dataclass(frozen=True)
class _Step:
    """What happens to values from a rung to the next one, or to the end."""

    gain: float  # that is added; 0 where no trial has gone on
    variance: float  # of that


def _step(lower: Mapping[int, float], upper: Mapping[int, float]) -> _Step:
    changes = [upper[number] - value for number, value in lower.items() if number in upper]
    if len(changes) < LEAST_CHANGES:  # how far values of the rung lie apart says how unsure they may be
        spread = pstdev(lower.values()) if lower else 0.0
        return _Step(median(changes) if changes else 0.0, (UNKNOWN * spread) ** 2)
    gain = median(changes)
    return _Step(gain, fmean((change - gain) ** 2 for change in changes))


def best_paused(rungs: Rungs, past: Sequence[PastTrial]) -> list[int]:
    """The numbers of paused trials, the best first: from the highest rung on, and by their values there.

    By the loss, whatever a study minimises: all its trials read one text, so that bits per byte have the same order.
    """
    standings = Standings.of(past, len(rungs.shares), "val_loss")
    places = {
        trial.number: (-(rung := trial.readings[-1].rung), standings.at[rung][trial.number], trial.number)
        for trial in past
        if trial.is_paused
    }
    return sorted(places, key=lambda number: places[number])
