"""Several objectives as one number, for samplers that know one: another number at each decision, so that all matter.

    value = max_i w_i z_i + ρ Σ_i w_i z_i        z_i = (f_i − best_i) / (worst_i − best_i)

w: weights that a decision draws evenly from those that sum to 1; z: an objective over its range among the trials that
reached all of them; ρ keeps what is only as good in the worst of them, and worse in others, from being as good. For
some weights each trial of the front is best.

Source: Knowles 2006, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive multiobjective
optimization problems" (augmented Tchebycheff function, weights drawn anew each time).
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from growlab.records import PastTrial
from growlab.seeds import derived_seed

RHO = 0.05


def drawn_weights(n: int, seed: int) -> tuple[float, ...]:
    """Weights of n objectives that sum to 1, evenly among all such."""
    rng = Random(derived_seed(seed, "weights"))
    drawn = [rng.expovariate(1.0) for _ in range(n)]
    return tuple(weight / sum(drawn) for weight in drawn)


def scalarised(past: Sequence[PastTrial], weights: Sequence[float]) -> Sequence[PastTrial]:
    """The past in which the value of a trial stands for all of them; of one that reached not all there is none.

    What is feasible alone says how far objectives range. While no trial has all of them the past stays as it is.
    """
    known = [trial.values for trial in past if trial.values and trial.feasible]
    known = known or [trial.values for trial in past if trial.values]
    if not known:
        return past
    best, worst = ([side(column) for column in zip(*known, strict=True)] for side in (min, max))

    def value(trial: PastTrial) -> float | None:
        if not trial.values:
            return None
        ranges = zip(trial.values, best, worst, strict=True)
        shares = [(at - low) / (high - low) if high > low else 0.0 for at, low, high in ranges]
        weighed = [weight * share for weight, share in zip(weights, shares, strict=True)]
        return max(weighed) + RHO * sum(weighed)

    return [replace(trial, value=value(trial)) for trial in past]
