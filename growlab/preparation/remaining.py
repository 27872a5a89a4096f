"""What is left to train of a stored study."""

from typing import TYPE_CHECKING

from growlab.records import TrialState, n_ended

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow


def n_unfinished(store: "Store", row: "StudyRow") -> int:
    """The number of trials that the study wants and that have not ended; once it is over those that have begun.

    A trial that waits at a rung is finished where no other one is left and it does not go on: by the decision that a
    worker would make. Where some go on this is 1, as what they come to decides how many do.
    """
    if store.why_over(row.id):
        return store.n_under_way(row.id)
    counts = store.counts(row.id)
    n_left = store.n_trials(row.id) - n_ended(counts) - counts[TrialState.PAUSED]
    return n_left or int(_goes_on(store, row, counts[TrialState.PAUSED]))


def _goes_on(store: "Store", row: "StudyRow", n_paused: int) -> bool:
    """Whether a trial of these goes on from its rung, where none is queued, runs, or is to be proposed.

    Asked by the loss alone, for which no kinds are loaded: of several objectives another one may go on, but one does
    where a rung has sent on fewer than its share.
    """
    if row.study.rungs is None or not n_paused:
        return False
    from growlab.search.rungs.halving import next_to_climb

    past = store.past_trials(row.id, row.study.metrics)
    return next_to_climb(row.study.rungs, past, row.study.loss, settled=True) is not None
