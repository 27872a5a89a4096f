"""How fast a study gets on: finished trials per hour in which somebody worked on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from growlab import amounts
from growlab.records import TrialState, n_ended
from growlab.storage import Store

Interval = tuple[float, float]  # from, to, in seconds of one clock


@dataclass(frozen=True, kw_only=True)
class Pace:
    trials_per_hour: float  # of the time in which at least one attempt ran: who stood still over night is not slow
    at_once: float  # attempts, their mean number in that time; at least 1

    @property
    def per_worker(self) -> float:
        """Trials per hour of one attempt: what a worker gets done."""
        return self.trials_per_hour / self.at_once

    def in_words(self) -> str:
        """The pace as '31 trials/hour', and with several workers '31 trials/hour (4 at once, 7.75 per worker)'."""
        rate, at_once = f"{amounts.count(self.trials_per_hour)} trials/hour", amounts.count(self.at_once)
        return rate if at_once == "1" else f"{rate} ({at_once} at once, {amounts.count(self.per_worker)} per worker)"


def read_pace(store: Store, study_id: int, counts: Mapping[TrialState, int]) -> Pace | None:
    """The pace of a study that has so many trials in a state."""
    return pace_of(store.attempt_times(study_id), n_ended(counts) - store.n_told(study_id))


def pace_of(attempts: Sequence[Interval], n_trials_ended: int) -> Pace | None:
    """The pace of a study whose attempts ran in these intervals; None before a trial has ended or time has passed."""
    ran = [(start, end) for start, end in attempts if start < end]
    if not (n_trials_ended and ran):
        return None
    busy_s = _length(union(ran))
    return Pace(trials_per_hour=n_trials_ended * 3600 / busy_s, at_once=_length(ran) / busy_s)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """The same times in intervals that neither overlap nor touch, in order."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _length(intervals: Iterable[Interval]) -> float:
    return sum(end - start for start, end in intervals)
