"""What the trials so far say: how good each was, and which layouts were tried."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import lru_cache
from statistics import fmean

from growlab.errors import LayoutError
from growlab.layout import parse
from growlab.records import PastTrial, TrialState


def unfinished(trial: PastTrial) -> PastTrial:
    """The trial before it ended. Whether it waited or ran is not told: a decision does not keep it."""
    is_told = (
        trial.value is not None or trial.values or trial.metrics or trial.layout_end or trial.peak_memory is not None
    )
    if trial.state is TrialState.RUNNING and trial.feasible and not is_told:
        return trial
    return replace(
        trial,
        state=TrialState.RUNNING,
        value=None,
        values=(),
        feasible=True,
        metrics={},
        layout_end="",
        peak_memory=None,
    )


def loss_of(trial: PastTrial) -> float:
    """The objective where the trial reached one, else inf: what diverged or failed loses to everything else.

    So does what breaks a constraint.
    """
    if (
        trial.feasible
        and trial.state is TrialState.COMPLETED
        and trial.value is not None
        and math.isfinite(trial.value)
    ):
        return trial.value
    return math.inf


def grouped(past: Sequence[PastTrial], repeats: int) -> Sequence[PastTrial]:
    """The past as a sampler knows it that asks for each proposal once: trials that repeat it are one.

    Its value and metrics are means over repeats; it is over when all that are there are, and failed where any did.
    """
    if repeats == 1:
        return past
    groups: dict[int, list[PastTrial]] = {}
    for trial in past:
        groups.setdefault(trial.number // repeats, []).append(trial)
    return [_merged(number, trials) for number, trials in sorted(groups.items())]


def _merged(number: int, trials: Sequence[PastTrial]) -> PastTrial:
    unfinished = [trial.state for trial in trials if not trial.state.is_final]
    failed = [trial.state for trial in trials if math.isinf(loss_of(trial))]
    state = next(iter([*unfinished, *failed, TrialState.COMPLETED]))
    value = fmean(map(loss_of, trials)) if state is TrialState.COMPLETED else None
    peaks = [trial.peak_memory for trial in trials if trial.peak_memory is not None]
    return replace(
        trials[0],
        number=number,
        state=state,
        value=value,
        metrics=_means([trial.metrics for trial in trials]) if value is not None else {},
        peak_memory=max(peaks, default=None),
    )


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that all of them have."""
    known = [key for key in metrics[0] if all(key in others for others in metrics)]
    return {key: fmean(each[key] for each in metrics) for key in known}


def tried_layouts(past: Iterable[PastTrial]) -> Set[str | None]:
    """The hash of every layout that was proposed; None for a damaged row's."""
    return _TRIED.hashes([trial.layout for trial in past])


def failed_layouts(past: Iterable[PastTrial]) -> Set[str | None]:
    """The hash of every layout that was proposed and only ever failed."""
    failed, others = set[str | None](), set[str | None]()
    for trial in past:
        (failed if trial.state.is_final and math.isinf(loss_of(trial)) else others).add(_hash(trial.layout))
    return failed - others


@lru_cache(maxsize=1 << 15)
def _hash(text: str) -> str | None:
    try:
        return parse(text).hash
    except LayoutError:
        return None


class _Tried:
    """The hashes of the layouts of a past, kept for one that goes on from it: a long one takes longer than the rest."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._hashes: set[str | None] = set()

    def hashes(self, texts: list[str]) -> Set[str | None]:
        n_known = len(self._texts)
        if texts[:n_known] != self._texts:
            n_known, self._hashes = 0, set()
        self._hashes.update(map(_hash, texts[n_known:]))
        self._texts = texts
        return self._hashes


_TRIED = _Tried()
