"""What the trials so far say: how good each was, and which layouts were tried."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import fmean

from growlab.errors import LayoutError
from growlab.layout import parse
from growlab.records import PastTrial, TrialState


def unfinished(trial: PastTrial) -> PastTrial:
    """The trial before it ended. Whether it waited or ran is not told: a decision does not keep it."""
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


@lru_cache(maxsize=1 << 15)
def _hash(text: str) -> str:
    """The hash of a layout's text; a search asks for those of its whole past at each decision."""
    return parse(text).hash


def tried_layouts(past: Iterable[PastTrial]) -> dict[str, bool]:
    """Hash of every layout that was proposed, to whether it only ever failed. A damaged row's layout is none."""
    only_failed: dict[str, bool] = {}
    for trial in past:
        try:
            key = _hash(trial.layout)
        except LayoutError:
            continue
        failed = trial.state.is_final and math.isinf(loss_of(trial))
        only_failed[key] = only_failed.get(key, True) and failed
    return only_failed
