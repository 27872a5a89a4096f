"""Which trials of a study end, as long as workers run."""

import time

from growlab.fleet.local import LocalFleet
from growlab.preparation.telling import Tell
from growlab.records import n_ended
from growlab.report.live import progress_in_words
from growlab.report.pace import read_pace
from growlab.storage import Store, StudyRow


def ended_trials(store: Store, row: StudyRow) -> frozenset[int]:
    """Numbers of the trials that have ended."""
    return frozenset(trial.number for trial in store.trials(row.id) if trial.state.is_final)


def n_unfinished(store: Store, row: StudyRow) -> int:
    """The number of trials that the study wants and that have not ended; once it is over those that have begun."""
    if store.why_over(row.id):
        return store.n_under_way(row.id)
    return store.n_trials(row.id) - n_ended(store.counts(row.id))


def follow(store: Store, row: StudyRow, fleet: LocalFleet, ended_before: frozenset[int], tell: Tell) -> None:
    """Tell a line when a trial ends, and how the study stands. Returns when all workers have left.

    `ended_before` are numbers of trials of which nothing is to be told.
    """
    known = set(ended_before)
    while True:
        still = fleet.running()
        ended = [trial for trial in store.trials(row.id) if trial.state.is_final and trial.number not in known]
        for trial in ended:
            known.add(trial.number)
            loss = "" if trial.val_loss is None else f", val_loss {trial.val_loss:.4f}"
            tell(f"trial {trial.number} {trial.state}{loss}: {trial.layout}")
        if ended:
            counts = store.counts(row.id)
            tell(progress_in_words(counts, store.n_trials(row.id), read_pace(store, row.id, counts)))
        if not still:
            return
        time.sleep(1)
