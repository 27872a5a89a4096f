"""Asynchronous successive halving: of the trials that came to a rung, one in `factor` goes on, the best first.

No trial waits for others: as soon as one is among the best share of its rung it may be promoted, from the highest rung
on. Once nothing is left to propose or to train, shares are rounded up, so that each rung sends on one trial at least.

Of several objectives those that a layout tells are compared beside the reading (`order_at_rung`).

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", Algorithm 2.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from growlab.records import Climb, Loss, PastTrial, Prediction, Promotion
from growlab.rungs import Rungs
from growlab.search.rungs.standing import Standings


def next_to_climb(
    rungs: Rungs,
    past: Sequence[PastTrial],
    metric: Loss,
    *,
    settled: bool,
    others: Mapping[int, Sequence[float]] = MappingProxyType({}),
) -> PastTrial | None:
    """The paused trial that is promoted next; None where none is among the best of its rung.

    `others` are the objectives besides the one that is read which are known of a trial, lower is better in each.
    """
    standings = Standings.of(past, len(rungs.shares), metric)
    trials = {trial.number: trial for trial in past}
    for rung in reversed(range(len(rungs.shares))):
        values = standings.at[rung]
        share = len(values) / rungs.factor
        quota = math.ceil(share) if settled else math.floor(share + 1e-9)
        best = order_at_rung({number: (value, *others.get(number, ())) for number, value in values.items()})[:quota]
        n_passed = sum(trials[number].may_pass > rung for number in values)
        waiting = [trials[number] for number in best if trials[number].is_paused and trials[number].may_pass == rung]
        if waiting and n_passed < quota:
            return waiting[0]
    return None


def order_at_rung(values: Mapping[int, Sequence[float]]) -> list[int]:
    """Trials from the best on, by their values at a rung, lower is better in each.

    Of several values by non-dominated rank, then by what a trial adds to the hypervolume of its rank; those of which
    not all values are known come last. Ties go to the lower first value, then to the lower number.
    """
    by_value = sorted(values, key=lambda number: (values[number][0], number))
    n_values = max(map(len, values.values()), default=1)
    if n_values == 1:
        return by_value
    import numpy as np

    from growlab.statistics.pareto import contributions, ranks, reference_point

    known = [at for at in by_value if len(values[at]) == n_values and all(map(math.isfinite, values[at]))]
    if not known:
        return by_value
    points = np.array([values[number] for number in known])
    rank, reference = ranks(points), reference_point(points, [None] * n_values)
    added = np.zeros(len(known))
    for at in range(rank.max() + 1):
        added[rank == at] = contributions(points[rank == at], reference)
    order = np.lexsort((-added, rank))  # stable: ties stay as they were
    return [*(known[at] for at in order), *(number for number in by_value if number not in set(known))]


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
