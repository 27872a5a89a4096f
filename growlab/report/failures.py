"""Why trials failed: by cause, the commonest first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from growlab.escapes import first_line
from growlab.records import TrialState
from growlab.storage import TrialRow

_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
UNEXPLAINED = "no reason is on record"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Trials that ended in one state for one cause: errors that differ in numbers alone are one."""

    state: TrialState  # diverged, leak or failed
    cause: str  # the first line of the first trial's error
    trials: tuple[int, ...]  # their numbers, rising


def failures_of(trials: Sequence[TrialRow]) -> list[Failure]:
    """The causes of which trials failed, of two as common the one that came first."""
    groups: dict[tuple[TrialState, str], list[TrialRow]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state.is_failure:
            groups.setdefault((trial.state, _NUMBER.sub("N", first_line(trial.error))), []).append(trial)
    failures = [
        Failure(
            state=state,
            cause=first_line(members[0].error) or UNEXPLAINED,
            trials=tuple(trial.number for trial in members),
        )
        for (state, _), members in groups.items()
    ]
    return sorted(failures, key=lambda failure: -len(failure.trials))
