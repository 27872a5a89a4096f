"""Facts of a run, as rows and back: metrics, trajectory points, growth events, readings at rungs.

Each has a key of its own (trial, step, …) and is written by upsert: an attempt that resumes from a
checkpoint trains the same steps again and writes the same rows again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, RowMapping, Table, delete, select

from growlab.errors import NotFound
from growlab.escapes import quoted
from growlab.finite import finite
from growlab.metrics import rows_of
from growlab.records import (
    READ_AT,
    TEST,
    EarlyStop,
    Fact,
    GrowthEvent,
    Metric,
    RungReading,
    TrajectoryPoint,
    float_fields,
)
from growlab.storage.clock import database_now
from growlab.storage.rows import Claim
from growlab.storage.tables import growth_events, metrics, rungs, stops, trajectory, trials
from growlab.storage.upsert import insert_unless_there, upsert
from growlab.storage.values import damaged, joined, split, state_of, whole_numbers

Kept = TypeVar("Kept", TrajectoryPoint, GrowthEvent, RungReading)  # facts with a column `not_finite`

_TABLES: dict[type[Fact], Table] = {
    Metric: metrics,
    TrajectoryPoint: trajectory,
    GrowthEvent: growth_events,
    RungReading: rungs,
    EarlyStop: stops,
}
_FLOPS = ("mark", "flops", "extra_flops")  # of a reading: whole numbers, in columns that hold more than 2**63


def write_facts(connection: Connection, claim: Claim, facts: Sequence[Fact]) -> None:
    owner = {"trial_id": claim.trial_id, "epoch": claim.epoch}
    for record_type, table in _TABLES.items():
        upsert(connection, table, [owner | _row(fact) for fact in facts if isinstance(fact, record_type)])


def forget_facts(connection: Connection, trial_id: int) -> None:
    for table in _TABLES.values():
        connection.execute(delete(table).where(table.c.trial_id == trial_id))


def read_metrics(connection: Connection, trial_id: int, split: str | None, name: str | None) -> list[Metric]:
    """Read metrics by step; of one split or all, of one name or all."""
    asked = select(metrics).where(metrics.c.trial_id == trial_id)
    if split is not None:
        asked = asked.where(metrics.c.split == split)
    if name is not None:
        asked = asked.where(metrics.c.name == name)
    rows = connection.execute(asked.order_by(metrics.c.step, metrics.c.split, metrics.c.name))
    return [
        Metric(
            step=row.step, split=row.split, name=row.name, value=row.value if row.state == "ok" else float(row.state)
        )
        for row in rows
    ]


def record_test(connection: Connection, trial_id: int, values: Mapping[str, float]) -> bool:
    """Write metrics of split test at the trial's last step, with the time. False, and nothing, when there are some.

    Unlike other facts they are no attempt's, so that no claim is asked; the trial must have ended. Raises NotFound when
    it was deleted.
    """
    row = connection.execute(select(trials.c.epoch, trials.c.steps).where(trials.c.id == trial_id)).one_or_none()
    if row is None:
        raise NotFound("the trial was deleted; nothing can be recorded of it")
    owner = {"trial_id": trial_id, "epoch": row.epoch, "step": row.steps, "split": TEST}
    first = {**owner, "name": READ_AT, "value": database_now(), "state": "ok"}
    if connection.scalar(insert_unless_there(connection, metrics, first).returning(metrics.c.step)) is None:
        return False
    rows = [{**owner, **_value(value), "name": name} for name, value in values.items()]
    upsert(connection, metrics, rows)
    return True


def write_told(connection: Connection, trial_id: int, told: Mapping[str, float]) -> None:
    """Write what a person told of a trial that nobody trains, by the metrics' keys: rows of step 0."""
    places = {key: rows_of(key) for key in told}
    rows = [
        {"trial_id": trial_id, "epoch": 0, "step": 0, "split": at.split, "name": at.name, **_value(told[key])}
        for key, at in places.items()
    ]
    upsert(connection, metrics, rows)


def _value(value: float) -> dict[str, Any]:
    """The columns of a metric's value."""
    return {"value": finite(value), "state": state_of(value)}


def read_trajectory(connection: Connection, trial_id: int, tensor: str | None) -> list[TrajectoryPoint]:
    """Read points by step and unit; of one tensor ("" for the means), or of all with None."""
    asked = select(trajectory).where(trajectory.c.trial_id == trial_id)
    if tensor is not None:
        asked = asked.where(trajectory.c.tensor == tensor)
    rows = connection.execute(asked.order_by(trajectory.c.step, trajectory.c.unit, trajectory.c.tensor)).mappings()
    return [restored(connection, TrajectoryPoint, row) for row in rows.all()]


def read_growth_events(connection: Connection, trial_id: int) -> list[GrowthEvent]:
    asked = select(growth_events).where(growth_events.c.trial_id == trial_id)
    rows = connection.execute(asked.order_by(growth_events.c.step, growth_events.c.position)).mappings()
    return [restored(connection, GrowthEvent, row) for row in rows.all()]


def read_readings(connection: Connection, trial_id: int) -> list[RungReading]:
    """Read what a trial came to at its rungs, from the lowest on."""
    asked = select(rungs).where(rungs.c.trial_id == trial_id).order_by(rungs.c.rung)
    return [_reading(connection, row) for row in connection.execute(asked).all()]


def read_all_readings(connection: Connection, study_id: int) -> dict[int, tuple[RungReading, ...]]:
    """Read what the trials of a study came to at their rungs, by number; those that came to none are left out."""
    asked = select(trials.c.number, rungs).join_from(trials, rungs).where(trials.c.study_id == study_id)
    readings: dict[int, list[RungReading]] = {}
    for row in connection.execute(asked.order_by(trials.c.number, rungs.c.rung)).all():
        readings.setdefault(row.number, []).append(_reading(connection, row))
    return {number: tuple(of_trial) for number, of_trial in readings.items()}


def read_readings_at(connection: Connection, study_id: int, rung: int) -> dict[int, RungReading]:
    """Read what the trials of a study came to at one rung, or mark, by number."""
    asked = select(trials.c.number, rungs).join_from(trials, rungs).where(trials.c.study_id == study_id)
    rows = connection.execute(asked.where(rungs.c.rung == rung).order_by(trials.c.number)).all()
    return {row.number: _reading(connection, row) for row in rows}


def read_stops(connection: Connection, study_id: int) -> dict[int, EarlyStop]:
    """Read why stop rules ended trials of a study, by number. Raises StorageError for a damaged row."""
    asked = select(trials.c.number, stops).join_from(trials, stops).where(trials.c.study_id == study_id)
    return {row["number"]: _stop(row) for row in connection.execute(asked.order_by(trials.c.number)).mappings()}


def _stop(row: RowMapping) -> EarlyStop:
    values = {field.name: row[field.name] for field in fields(EarlyStop)}
    try:
        return EarlyStop(**values | {"flops": int(row["flops"]), "seen": whole_numbers(row["seen"])})
    except ValueError as error:
        raise damaged(row["number"], "gl_stops.seen", str(error)) from None


def _reading(connection: Connection, row: Row[Any]) -> RungReading:
    if row.not_finite:
        return restored(connection, RungReading, {**row._mapping, **{name: int(getattr(row, name)) for name in _FLOPS}})
    return RungReading(  # a search of ten thousand trials asks for all of theirs before each decision
        rung=row.rung,
        step=row.step,
        mark=int(row.mark),
        flops=int(row.flops),
        val_loss=row.val_loss,
        bits_per_byte=row.bits_per_byte,
        slope=row.slope,
        extra_flops=int(row.extra_flops),
    )


def restored(connection: Connection, record_type: type[Kept], row: RowMapping | Mapping[str, Any]) -> Kept:
    """Restore the fact that a row was made of. Raises StorageError that names the trial of a damaged row."""
    values = {field.name: row[field.name] for field in fields(record_type)}
    try:
        return record_type(**values | joined(dict(row), float_fields(record_type)))
    except ValueError as error:
        number = connection.scalar(select(trials.c.number).where(trials.c.id == row["trial_id"]))
        problem = f"{quoted(row['not_finite'])} cannot be read ({error})"
        raise damaged(number, f"{_TABLES[record_type].name}.not_finite", problem) from None


def _row(fact: Fact) -> dict[str, Any]:
    row = asdict(fact)
    match fact:
        case Metric():
            return row | _value(fact.value)
        case TrajectoryPoint():
            return row | split(row, float_fields(TrajectoryPoint)) | {"state": _path_state(fact.tau)}
        case GrowthEvent():
            return row | split(row, float_fields(GrowthEvent))
        case RungReading():
            return row | split(row, float_fields(RungReading)) | {name: float(row[name]) for name in _FLOPS}
        case EarlyStop():
            return row | {"flops": float(fact.flops), "seen": list(fact.seen)}


def _path_state(tau: float | None) -> str:
    """Explain why there is no tau, for those who read the table."""
    if tau is None:
        return "still"
    return "closed" if tau == float("inf") else "ok"
