"""What a study has spent, and whether that was all: asked before a trial is proposed, and before one is begun."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from growlab.errors import SpecError
from growlab.records import LOSSES, Spent, TrialState
from growlab.storage.clock import database_now
from growlab.storage.tables import TAKES_WORKERS, attempts, metrics, rungs, studies, trials
from growlab.study.limits import Limits
from growlab.study.limits_section import read_limits

HAS_BEGUN: ColumnElement[bool] = trials.c.epoch > 0


def why_over(connection: Connection, study_id: int) -> str:
    """Which limit of a study is reached, in words; '' while none is, of a damaged row, and of none."""
    limits = limits_of(connection.scalar(select(studies.c.spec).where(studies.c.id == study_id)))
    return limits.why_over(read_spent(connection, study_id)) if limits else ""


def limits_of(spec: Any) -> Limits:
    """The limits that a study's column names; those of a damaged row are not known here: reading it tells the fault."""
    try:
        return read_limits(spec) if isinstance(spec, Mapping) else Limits()
    except SpecError:
        return Limits()


def read_spent(connection: Connection, study_id: int) -> Spent:
    """Read what all trials of a study have spent, and the best of each loss that a completed one has."""
    hours = (
        func.sum(attempts.c.heartbeat_at - attempts.c.started_at),
        database_now() - func.min(attempts.c.started_at),
    )
    ran = select(*hours).join_from(attempts, trials).where(trials.c.study_id == study_id)
    working_s, since_s = connection.execute(ran).one()
    of_study = trials.c.study_id == study_id
    flops = connection.scalar(select(func.sum(func.coalesce(trials.c.flops, _newest_flops(), 0.0))).where(of_study))
    of_readings = select(func.sum(rungs.c.extra_flops)).join_from(rungs, trials).where(of_study)
    completed = of_study & (trials.c.state == TrialState.COMPLETED)
    best = connection.execute(select(*(func.min(trials.c[loss]) for loss in LOSSES)).where(completed)).one()
    return Spent(
        flops=(flops or 0.0) + (connection.scalar(of_readings) or 0.0),
        gpu_hours=(working_s or 0.0) / 3600,
        hours=(since_s or 0.0) / 3600,
        best={loss: value for loss, value in zip(LOSSES, best, strict=True) if value is not None},
    )


def _newest_flops() -> ColumnElement[float]:
    """The most that a trial that is not over is known to have spent: by a row of training, or by its last reading.

    It pauses between two rows.
    """
    of_rows = (
        select(func.max(metrics.c.value))
        .where(metrics.c.trial_id == trials.c.id, metrics.c.split == "train", metrics.c.name == "flops")
        .scalar_subquery()
    )
    of_readings = select(func.max(rungs.c.flops)).where(rungs.c.trial_id == trials.c.id).scalar_subquery()
    return case((of_readings > of_rows, of_readings), else_=func.coalesce(of_rows, of_readings))


def n_under_way(connection: Connection, study_id: int) -> int:
    """Count the trials that have begun and go on: those that run, and those put back into the queue."""
    asked = select(func.count()).where(trials.c.study_id == study_id, TAKES_WORKERS, HAS_BEGUN)
    n: int = connection.scalar(asked) or 0
    return n
