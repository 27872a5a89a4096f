"""Facts of all trials of a study at once, each with its trial's number: what tables for notebooks are made of.

Rows come as tuples, in the order of a record's fields: of millions of metrics no object each.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, select

from growlab.records import GrowthEvent, TrajectoryPoint
from growlab.storage.facts import restored
from growlab.storage.tables import attempts, decisions, growth_events, metrics, trajectory, trials, workers

MetricRow = tuple[int, int, str, str, float]  # trial, step, split, name, value

ATTEMPT_FIELDS = (
    "trial", "epoch", "worker_id", "worker", "host", "device",
    "started_at", "heartbeat_at", "ended_at", "end_reason", "note", "step",
)  # fmt: skip
DECISION_FIELDS = ("trial", "seed", "origin", "parent", "mutation", "predicted_mean", "predicted_sd", "predicted_runs")


def read_metrics(connection: Connection, study_id: int, names: Collection[str], split: str) -> list[MetricRow]:
    """Read metrics by trial and step: of these names, or of all; of one split, or with '' of all."""
    asked = select(trials.c.number, metrics.c.step, metrics.c.split, metrics.c.name, metrics.c.value, metrics.c.state)
    asked = asked.join_from(metrics, trials).where(trials.c.study_id == study_id)
    if names:
        asked = asked.where(metrics.c.name.in_(names))
    if split:
        asked = asked.where(metrics.c.split == split)
    in_order = asked.order_by(trials.c.number, metrics.c.step, metrics.c.split, metrics.c.name)
    return [
        (number, step, split_, name, value if state == "ok" else float(state))
        for number, step, split_, name, value, state in connection.execute(in_order)
    ]


def read_trajectory(connection: Connection, study_id: int, tensor: str | None) -> list[tuple[Any, ...]]:
    """Read fields of points by trial, step and unit: the means of units (tensor ''), one tensor's, or with None all."""
    asked = (trajectory.c.tensor == tensor,) if tensor is not None else ()
    return _facts(connection, study_id, trajectory, TrajectoryPoint, asked)


def read_growth_events(connection: Connection, study_id: int) -> list[tuple[Any, ...]]:
    """Read fields of growth events by trial, step and position."""
    return _facts(connection, study_id, growth_events, GrowthEvent, ())


def read_attempts(connection: Connection, study_id: int) -> list[tuple[Any, ...]]:
    """Read attempts in the order in which they began, with who made them: ATTEMPT_FIELDS."""
    of_worker = (workers.c.id, workers.c.name, workers.c.host, workers.c.device)
    own = (attempts.c[name] for name in ATTEMPT_FIELDS[6:])
    asked = select(trials.c.number, attempts.c.epoch, *of_worker, *own)
    joined = asked.join_from(attempts, trials).join(workers, attempts.c.worker_id == workers.c.id)
    return _tuples(connection.execute(joined.where(trials.c.study_id == study_id).order_by(attempts.c.id)))


def read_decisions(connection: Connection, study_id: int) -> list[tuple[Any, ...]]:
    """Read what proposed each trial, by number: DECISION_FIELDS."""
    columns = [trials.c.number, *(decisions.c[name] for name in DECISION_FIELDS[1:])]
    asked = select(*columns).join_from(decisions, trials).where(trials.c.study_id == study_id)
    return _tuples(connection.execute(asked.order_by(trials.c.number)))


def _tuples(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in rows]


def _facts(
    connection: Connection,
    study_id: int,
    table: Table,
    record: type[Any],
    asked: Sequence[ColumnElement[bool]],
) -> list[tuple[Any, ...]]:
    """The trial's number and a record's fields, by trial, in the order of the table's key."""
    names = [member.name for member in fields(record)]
    own = (table.c[name] for name in names)
    query = select(trials.c.number, *own, table.c.not_finite, table.c.trial_id).join_from(table, trials)
    of_trial = [column for column in table.primary_key.columns if column.name != "trial_id"]
    found = connection.execute(query.where(trials.c.study_id == study_id, *asked).order_by(trials.c.number, *of_trial))
    rows = []
    for row in found.all():
        if row.not_finite:
            fact = restored(connection, record, row._mapping)
            rows.append((row.number, *(getattr(fact, name) for name in names)))
        else:
            rows.append(tuple(row[: len(names) + 1]))
    return rows
