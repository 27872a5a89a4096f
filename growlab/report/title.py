"""The line above a leaderboard."""

from collections.abc import Mapping, Sequence

from growlab.records import TrialState, n_ended
from growlab.report.pace import Pace, read_pace
from growlab.storage import Store, StudyRow
from growlab.study import Objective


def read_title(store: Store, row: StudyRow) -> str:
    counts = store.counts(row.id)
    pace = read_pace(store, row.id, counts)
    title = title_of(row.study.name, counts, row.study.n_trials, judged_by(row.study.objectives), pace)
    over = read_over(store, row)
    return f"{title} · over: {over}" if over else title


def judged_by(objectives: Sequence[Objective]) -> str:
    """What trials are ranked by, and with what else the front is made: 'val_loss (front with params)'."""
    first, *others = objectives
    return f"{first.key} (front with {', '.join(map(str, others))})" if others else first.key


def read_over(store: Store, row: StudyRow) -> str:
    """The limit that ended a study before it had all its trials, in words; '' where none did."""
    if not row.study.limits or n_ended(store.counts(row.id)) >= store.n_trials(row.id):
        return ""
    return store.why_over(row.id)


def title_of(
    study_name: str, counts: Mapping[TrialState, int], n_trials: int, objective: str = "", pace: Pace | None = None
) -> str:
    """A line: 'nightly: 4 of 10 trials ended (1 running, 4 completed), by val_loss, lower is better · 31 trials/hour'.

    Without an objective nothing is said of it, nor of a pace that is not known yet.
    """
    there = ", ".join(f"{counts[state]} {state}" for state in TrialState if counts.get(state))
    in_brackets = f" ({there})" if there else ""
    by = f", by {objective}, lower is better" if objective else ""
    at = f" · {pace.in_words()}" if pace else ""
    return f"{study_name}: {n_ended(counts)} of {n_trials} trials ended{in_brackets}{by}{at}"
