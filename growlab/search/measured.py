"""What trials took of a GPU's memory, beside what was estimated of them: how much the estimate is off in this study.

The ratio is that which nine in ten trials stay within. A trial that ran out of memory took more than there was: where
that is more than the ratio would have it, it counts as one that took so much. Fewer than LEAST trials correct nothing.
"""

from collections.abc import Sequence
from functools import partial
from math import ceil

from growlab.errors import LayoutError, UnknownName
from growlab.kinds import complete
from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.search.kept import Kept
from growlab.search.limits import Limits

LEAST = 4
WITHIN = 0.9  # of the trials
FARTHEST = 5.0  # from 1, either way: what is further off was measured wrongly


def memory_ratio(limit: Limits, past: Sequence[PastTrial]) -> float:
    """What trials take of what was estimated; 1 where the study does not limit its memory. A function of the past."""
    if not limit.study.layouts.max_memory:
        return 1.0
    made_of = limit.study.layouts, limit.study.scalars(), id(limit.kinds), limit.measure
    estimates = _ESTIMATES.get(repr(made_of), partial(_Estimates, limit))
    measured = [trial for trial in past if trial.peak_memory is not None]
    took = [ratio for trial in measured if trial.state is TrialState.COMPLETED and (ratio := estimates.ratio(trial))]
    had = [ratio for trial in measured if trial.state is TrialState.FAILED and (ratio := estimates.ratio(trial))]
    expected = _within(took) if len(took) >= LEAST else 1.0
    known = took + [ratio for ratio in had if ratio > expected]
    return min(max(_within(known), 1 / FARTHEST), FARTHEST) if len(known) >= LEAST else 1.0


def _within(ratios: Sequence[float]) -> float:
    return sorted(ratios)[ceil(WITHIN * len(ratios)) - 1]


class _Estimates:
    """What was estimated of the trials of a study."""

    def __init__(self, limit: Limits) -> None:
        self._limit = limit
        self._ratios: dict[int, tuple[PastTrial, float | None]] = {}

    def ratio(self, trial: PastTrial) -> float | None:
        """Measured over estimated; None of a damaged row."""
        known = self._ratios.get(trial.number)
        if known is None or known[0] != trial:
            known = self._ratios[trial.number] = trial, self._ratio(trial)
        return known[1]

    def _ratio(self, trial: PastTrial) -> float | None:
        assert trial.peak_memory is not None
        try:
            layout = complete(parse(trial.layout), self._limit.kinds)
            return trial.peak_memory / self._limit.at(trial.params).amounts(layout)["max_memory"]
        except (LayoutError, UnknownName, ZeroDivisionError):
            return None


_ESTIMATES: Kept[_Estimates] = Kept(4)
