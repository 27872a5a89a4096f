"""The files of a trial, as rows. A trial has one checkpoint row at most: the one from which it would go on."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, select

from growlab.records import Artifact
from growlab.storage.rows import Claim
from growlab.storage.tables import artifacts
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


def read_artifacts(connection: Connection, trial_id: int) -> list[Artifact]:
    """Read the artifacts of a trial, in the order in which they were written."""
    rows = connection.execute(select(*_RECORD).where(artifacts.c.trial_id == trial_id).order_by(artifacts.c.id))
    return [Artifact(**row) for row in rows.mappings()]
