"""Several questions asked at once: Holm's step-down procedure.

With k questions of which none has an effect, one of them looks significant at 5 % in up to 1 - 0.95^k of all
experiments. Holm: p-values in rising order, the r-th (from 0) against error / (k - r), until the first that fails;
it and all after it stay undecided. The chance of any false rejection is then at most `error`, however the p-values
depend on one another. Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal
of Statistics 6 (1979).
"""

from collections.abc import Mapping


def adjusted(p_values: Mapping[str, float]) -> dict[str, float]:
    """The least family-wise error at which each is rejected: max over the steps up to its own of (k - r) · p, ≤ 1."""
    k, reached, result = len(p_values), 0.0, {}
    for r, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (k - r) * p_values[name]))
        result[name] = reached
    return result


def step_errors(p_values: Mapping[str, float], error: float) -> dict[str, float]:
    """The error that decides each: error / (k - r) at its step; after the first failure, that of the failure.

    So p ≤ its step's error exactly where Holm rejects, and an interval of level 1 - that error excludes 0 exactly then:
    one interval can stand for the decision.
    """
    k, failed, result = len(p_values), None, {}
    for r, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        at = error / (k - r) if failed is None else failed
        if p_values[name] > at:
            failed = at
        result[name] = at
    return result
