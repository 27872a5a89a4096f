"""The files of a trial, as rows. A trial has one checkpoint row at most: the one from which it would go on."""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, select

from growlab.records import Artifact, TrialState
from growlab.storage.rows import Claim
from growlab.storage.tables import artifacts, trials
from growlab.storage.upsert import upsert

CHECKPOINT = "checkpoint"
_RECORD = [artifacts.c[name] for name in ("kind", "step", "path", "sha256", "n_bytes")]


def write_artifacts(connection: Connection, claim: Claim, written: Sequence[Artifact]) -> None:
    rows = [{"trial_id": claim.trial_id, "epoch": claim.epoch, **asdict(artifact)} for artifact in written]
    upsert(connection, artifacts, rows, key=("trial_id", "kind", "step", "path"))


def forget_checkpoint(connection: Connection, trial_id: int) -> None:
    is_checkpoint = (artifacts.c.trial_id == trial_id) & (artifacts.c.kind == CHECKPOINT)
    connection.execute(delete(artifacts).where(is_checkpoint))


def newest_checkpoint(connection: Connection, trial_id: int) -> Artifact | None:
    found = [artifact for artifact in read_artifacts(connection, trial_id) if artifact.kind == CHECKPOINT]
    return found[-1] if found else None


def take_checkpoints(connection: Connection, study_id: int, numbers: Collection[int]) -> list[tuple[int, Artifact]]:
    """Take their checkpoints from those of these trials that are paused, and return them: number and checkpoint.

    A trial that was promoted meanwhile keeps its own. What has none begins again at step 0 when it is promoted.
    """
    is_paused = (trials.c.study_id == study_id) & (trials.c.state == TrialState.PAUSED)
    locked = select(trials.c.id, trials.c.number).where(is_paused, trials.c.number.in_(numbers))
    taken = []
    for trial in connection.execute(locked.order_by(trials.c.number).with_for_update()).all():
        if checkpoint := newest_checkpoint(connection, trial.id):
            forget_checkpoint(connection, trial.id)
            taken.append((trial.number, checkpoint))
    return taken


def read_paused_checkpoints(connection: Connection, study_id: int) -> dict[int, Artifact]:
    """Read the checkpoints of paused trials, by number."""
    is_kept = (trials.c.study_id == study_id) & (trials.c.state == TrialState.PAUSED) & (artifacts.c.kind == CHECKPOINT)
    rows = connection.execute(select(trials.c.number, *_RECORD).join_from(artifacts, trials).where(is_kept))
    return {row.number: Artifact(**{column.name: getattr(row, column.name) for column in _RECORD}) for row in rows}


def read_artifacts(connection: Connection, trial_id: int) -> list[Artifact]:
    """Read the artifacts of a trial, in the order in which they were written."""
    rows = connection.execute(select(*_RECORD).where(artifacts.c.trial_id == trial_id).order_by(artifacts.c.id))
    return [Artifact(**row) for row in rows.mappings()]
