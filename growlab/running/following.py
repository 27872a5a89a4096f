"""Which trials of a study end or come to a rung, as long as workers run."""

import time

from growlab.fleet.local import LocalFleet
from growlab.preparation.telling import Tell
from growlab.records import TrialState
from growlab.report.live import progress_in_words, state_text
from growlab.report.pace import read_pace
from growlab.storage import Store, StudyRow, TrialRow


def ended_trials(store: Store, row: StudyRow) -> frozenset[int]:
    """Numbers of the trials that have ended."""
    return frozenset(trial.number for trial in store.trials(row.id) if trial.state.is_final)


def follow(store: Store, row: StudyRow, fleet: LocalFleet, ended_before: frozenset[int], tell: Tell) -> None:
    """Tell a line when a trial ends or comes to a rung, and how the study stands. Returns when all workers have left.

    `ended_before` are numbers of trials of which nothing is to be told, nor of a rung at which one waits already.
    """
    known = set(ended_before)
    paused_at = {_rung_of(trial) for trial in store.trials(row.id)}
    while True:
        still = fleet.running()
        trials = store.trials(row.id)
        ended = [trial for trial in trials if trial.state.is_final and trial.number not in known]
        paused = [trial for trial in trials if trial.state is TrialState.PAUSED and _rung_of(trial) not in paused_at]
        known |= {trial.number for trial in ended}
        paused_at |= {_rung_of(trial) for trial in paused}
        for trial in [*paused, *ended]:
            value = trial.val_loss if trial.state.is_final else trial.paused_val_loss
            loss = "" if value is None else f", val_loss {value:.4f}"
            tell(f"trial {trial.number} {state_text(trial)}{loss}: {trial.layout}")
        if ended or paused:
            counts = store.counts(row.id)
            tell(progress_in_words(counts, store.n_trials(row.id), read_pace(store, row.id, counts)))
        if not still:
            return
        time.sleep(1)


def _rung_of(trial: TrialRow) -> tuple[int, int, bool]:
    """The trial, the rung that it comes to next, and whether it waits there."""
    return trial.number, trial.may_pass, trial.state is TrialState.PAUSED
