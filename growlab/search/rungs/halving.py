"""Asynchronous successive halving: of the trials that came to a rung, one in `factor` goes on, the best first.

No trial waits for others: as soon as one is among the best share of its rung it may be promoted, from the highest rung
on. Once nothing is left to propose or to train, shares are rounded up, so that each rung sends on one trial at least.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", Algorithm 2.
"""

import math
from collections.abc import Sequence

from growlab.records import Climb, Loss, PastTrial, Prediction, Promotion
from growlab.rungs import Rungs
from growlab.search.rungs.standing import Standings


def next_to_climb(rungs: Rungs, past: Sequence[PastTrial], metric: Loss, *, settled: bool) -> PastTrial | None:
    """The paused trial that is promoted next; None where none is among the best of its rung."""
    standings = Standings.of(past, len(rungs.shares), metric)
    trials = {trial.number: trial for trial in past}
    for rung in reversed(range(len(rungs.shares))):
        values = standings.at[rung]
        share = len(values) / rungs.factor
        quota = math.ceil(share) if settled else math.floor(share + 1e-9)
        best = sorted(values, key=lambda number: (values[number], number))[:quota]
        n_passed = sum(trials[number].may_pass > rung for number in values)
        waiting = [trials[number] for number in best if trials[number].is_paused and trials[number].may_pass == rung]
        if waiting and n_passed < quota:
            return waiting[0]
    return None


def promotion_of(trial: PastTrial, past: Sequence[PastTrial], predicted: Prediction | None = None) -> Promotion:
    """The decision that this paused trial goes on, after that past."""
    return Promotion(
        trial=trial.number,
        rung=trial.may_pass,
        finished=tuple(other.number for other in past if other.state.is_final),
        running=tuple(other.number for other in past if not other.state.is_final),
        climbs=climbs_of(past),
        predicted=predicted,
    )


def climbs_of(past: Sequence[PastTrial]) -> tuple[Climb, ...]:
    """How far each trial had come that is not over, where it had come to a rung."""
    return tuple(
        Climb(trial=trial.number, n_readings=len(trial.readings), may_pass=trial.may_pass)
        for trial in past
        if trial.readings and not trial.state.is_final
    )
