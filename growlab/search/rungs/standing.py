"""How trials compare at a rung, and what they would come to at the end.

A reading is brought to the FLOPs of its rung, as one that was taken later, so that a growth could pay, has had more of
them:

    value at the mark = value + slope · (ln mark − ln flops)

slope: the median over all readings at the rung, so that a trial's own recovery from a growth is not taken for learning.

What a trial would come to is its last such value, and what trials gained from there to the next rung, and so on to the
end: the median over those that have been at both. It keeps the order of a rung, and makes values of different rungs
comparable.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from growlab.records import Loss, PastTrial, RungReading, TrialState
from growlab.search.past import loss_of


def value_of(reading: RungReading, metric: Loss) -> float:
    """What a reading says of a study's objective; inf where it says nothing."""
    value = reading.bits_per_byte if metric == "bits_per_byte" else reading.val_loss
    return math.inf if value is None else value


@dataclass(frozen=True)
class Standings:
    """The values of all trials at each rung, by number, at the FLOPs of the rung."""

    at: Sequence[Mapping[int, float]]

    @classmethod
    def of(cls, past: Iterable[PastTrial], n_rungs: int, metric: Loss) -> "Standings":
        by_rung: list[dict[int, RungReading]] = [{} for _ in range(n_rungs)]
        for trial in past:
            for reading in trial.readings:
                by_rung[reading.rung][trial.number] = reading
        return cls([_at_mark(readings, metric) for readings in by_rung])


def _at_mark(readings: Mapping[int, RungReading], metric: Loss) -> dict[int, float]:
    slopes = [
        reading.slope * (value_of(reading, metric) / reading.val_loss)  # in the objective's unit
        for reading in readings.values()
        if reading.slope is not None and reading.val_loss > 0
    ]
    slope = min(median(slopes), 0.0) if slopes else 0.0
    return {
        number: value_of(reading, metric) + slope * (math.log(reading.mark) - math.log(reading.flops))
        for number, reading in readings.items()
    }


def projected(past: Sequence[PastTrial], n_rungs: int, metric: Loss) -> list[PastTrial]:
    """The past in which every trial that came to a rung has a value: its own, or what it would come to at the end."""
    standings = Standings.of(past, n_rungs, metric)
    ends = {trial.number: loss for trial in past if math.isfinite(loss := loss_of(trial))}
    to_come = _gains_to_come([*standings.at, ends])

    def known(trial: PastTrial) -> PastTrial:
        if trial.state.is_final or not trial.readings:
            return trial
        rung = trial.readings[-1].rung
        return replace(trial, state=TrialState.COMPLETED, value=standings.at[rung][trial.number] + to_come[rung])

    return [known(trial) for trial in past]


def _gains_to_come(levels: Sequence[Mapping[int, float]]) -> list[float]:
    """From each rung to the end, what is added to a value; 0 from where no trial has gone on."""
    steps = []
    for lower, upper in pairwise(levels):
        changes = [upper[number] - value for number, value in lower.items() if number in upper]
        steps.append(median(changes) if changes else 0.0)
    return [sum(steps[rung:]) for rung in range(len(steps))]
