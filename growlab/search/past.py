"""What the trials so far say: how good each was, and which layouts were tried."""

import math
from collections.abc import Iterable

from growlab.errors import LayoutError
from growlab.layout import parse
from growlab.records import PastTrial, TrialState


def loss_of(trial: PastTrial) -> float:
    """The objective where the trial reached one, else inf: what diverged or failed loses to everything else."""
    if trial.state is TrialState.COMPLETED and trial.value is not None and math.isfinite(trial.value):
        return trial.value
    return math.inf


def tried_layouts(past: Iterable[PastTrial]) -> dict[str, bool]:
    """Hash of every layout that was proposed, to whether it only ever failed. A damaged row's layout is none."""
    only_failed: dict[str, bool] = {}
    for trial in past:
        try:
            key = parse(trial.layout).hash
        except LayoutError:
            continue
        failed = trial.state.is_final and math.isinf(loss_of(trial))
        only_failed[key] = only_failed.get(key, True) and failed
    return only_failed
