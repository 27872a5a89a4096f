"""What a report asks of all trials of a study at once: one statement each, however many trials there are."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from growlab.records import TrialState
from growlab.storage.clock import database_now
from growlab.storage.rows import WorkerRow
from growlab.storage.tables import attempts, growth_events, metrics, trials, workers

Curve = dict[int, float]  # by step


def read_n_growths(connection: Connection, study_id: int) -> dict[int, int]:
    """Count the steps at which trials grew, by number, of those that did."""
    n_steps = func.count(growth_events.c.step.distinct()).label("n")
    grew = select(trials.c.number, n_steps).join_from(growth_events, trials)
    rows = connection.execute(grew.where(trials.c.study_id == study_id).group_by(trials.c.number))
    return {row.number: row.n for row in rows}


def read_risen_losses(connection: Connection, study_id: int, margin: float) -> dict[int, dict[str, Curve]]:
    """Read the losses, by number and split, of completed trials whose val_loss ended more than `margin` above its best,
    and of those that are being trained.
    """
    rose = trials.c.val_loss > trials.c.best_val_loss + margin
    is_open = trials.c.state.in_([TrialState.QUEUED, TrialState.RUNNING])
    asked = (
        select(trials.c.number, metrics.c.split, metrics.c.step, metrics.c.value)
        .join_from(trials, metrics)
        .where(trials.c.study_id == study_id, or_(rose, is_open))
        .where(metrics.c.name == "loss", metrics.c.split.in_(["train", "val"]), metrics.c.value.is_not(None))
    )
    curves: dict[int, dict[str, Curve]] = defaultdict(lambda: {"train": {}, "val": {}})
    for number, split, step, value in connection.execute(asked).all():
        curves[number][split][step] = value
    return dict(curves)


def read_workers(connection: Connection, study_id: int) -> list[WorkerRow]:
    """Read the workers that ever tried a trial of the study, in the order in which they came."""
    of_worker = ("name", "host", "pid", "device", "started_at", "heartbeat_at", "ended_at")
    n_attempts = (
        select(attempts.c.worker_id, func.count().label("n_attempts"))
        .join_from(attempts, trials)
        .where(trials.c.study_id == study_id)
        .group_by(attempts.c.worker_id)
        .subquery()
    )
    heard_s = (database_now() - workers.c.heartbeat_at).label("heard_s")
    asked = select(workers.c.id, *(workers.c[name] for name in of_worker), heard_s, n_attempts.c.n_attempts)
    rows = connection.execute(
        asked.join(n_attempts, n_attempts.c.worker_id == workers.c.id).order_by(workers.c.started_at, workers.c.id)
    ).mappings()
    found = rows.all()
    held = _held(connection, study_id)
    return [
        WorkerRow(**{name: value for name, value in row.items() if name != "id"}, **held.get(row["id"], {}))
        for row in found
    ]


def _held(connection: Connection, study_id: int) -> dict[int, dict[str, Any]]:
    """What workers hold now, by their id."""
    is_speed = and_(metrics.c.trial_id == trials.c.id, metrics.c.split == "train", metrics.c.name == "tokens_per_s")
    newest_speed = select(metrics.c.value).where(is_speed).order_by(metrics.c.step.desc()).limit(1).scalar_subquery()
    asked = (
        select(
            attempts.c.worker_id,
            trials.c.number.label("trial"),
            (trials.c.lease_expires_at - database_now()).label("lease_left_s"),
            attempts.c.step,
            newest_speed.label("tokens_per_s"),
        )
        .join_from(trials, attempts, and_(attempts.c.trial_id == trials.c.id, attempts.c.epoch == trials.c.epoch))
        .where(trials.c.study_id == study_id, trials.c.state == TrialState.RUNNING)
    )
    rows = connection.execute(asked).mappings().all()
    return {row["worker_id"]: {name: row[name] for name in row if name != "worker_id"} for row in rows}
