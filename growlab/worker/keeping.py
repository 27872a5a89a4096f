"""Whose checkpoints are kept of the trials that wait at rungs.

A trial that goes on after all without one begins again at step 0 and comes to the same, so that disk space is all that
is decided here. Only files that lie below this worker's own artifact folder are deleted, with their rows: where each
has one of its own, those of another are its own to delete.
"""

from collections.abc import Collection
from pathlib import Path, PurePath

from growlab.rungs import Rungs
from growlab.search.rungs.standing import best_paused
from growlab.storage import Store


def keep_best(store: Store, study_id: int, rungs: Rungs, artifacts: Path) -> None:
    """Forget the checkpoints of all paused trials but the best, as many as the rungs say; of none where they say 0."""
    if rungs.keep_paused:
        ranked = best_paused(rungs, store.past_trials(study_id, "val_loss"))
        forget_paused(store, study_id, artifacts, kept=ranked[: rungs.keep_paused])


def forget_paused(store: Store, study_id: int, artifacts: Path, *, kept: Collection[int] = ()) -> None:
    """Forget the checkpoints of paused trials that lie here, but for those of `kept`."""
    from growlab.training.checkpoint import CheckpointFolder

    checkpoints = store.paused_checkpoints(study_id)
    here = [number for number, file in checkpoints.items() if number not in kept and (artifacts / file.path).exists()]
    for _, checkpoint in store.take_checkpoints(study_id, here):
        CheckpointFolder(artifacts, str(PurePath(checkpoint.path).parent)).forget(checkpoint)
