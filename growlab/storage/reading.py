"""Trials, read without locks: for a search, a leaderboard, the page of one trial."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Row,
    RowMapping,
    ScalarSelect,
    Select,
    Text,
    case,
    cast,
    func,
    select,
    true,
)

from growlab.errors import NotFound, UnknownName
from growlab.frozen import made
from growlab.metrics import name_of, rows_of, tells
from growlab.records import ADDED, LOSSES, PEAK_MEMORY, TOLD, EndReason, PastTrial, RungReading, TrialState
from growlab.storage.clock import database_now
from growlab.storage.facts import read_all_readings
from growlab.storage.rows import AttemptRow, TrialRow
from growlab.storage.tables import IS_OPEN, attempts, decisions, metrics, rungs, stops, trials, workers


def read_past_trials(connection: Connection, study_id: int, asked: str | Sequence[str]) -> list[PastTrial]:
    """Read trials as a search knows them, by number; a value only of those that completed or were stopped, metrics of
    the former.

    `asked` is a loss, or keys of metrics of which the first is a loss and the value. What a layout alone tells is not
    among a trial's metrics. A damaged row is a trial too, or the next number would be taken: with an empty layout, or
    without scalars.
    """
    objective, *others = (asked,) if isinstance(asked, str) else asked
    if objective not in LOSSES:
        raise UnknownName("objective", objective, LOSSES)
    losses = [trials.c[loss] for loss in dict.fromkeys([objective, *(key for key in others if key in LOSSES)])]
    layout = case((_is_json(connection, trials.c.spec), trials.c.spec["layout"].as_string())).label("layout")
    columns = (trials.c.number, trials.c.state, trials.c.params, trials.c.may_pass, trials.c.layout_end, *losses)
    joined = (decisions.c.origin, metrics.c.value.label("peak"), stops.c.rule)
    query = select(*columns, *joined, layout).outerjoin_from(trials, decisions).outerjoin(metrics, _IS_PEAK)
    query = query.outerjoin(stops, stops.c.trial_id == trials.c.id)
    rows = connection.execute(query.where(trials.c.study_id == study_id).order_by(trials.c.number)).mappings().all()
    readings = read_all_readings(connection, study_id)
    of_rows = [key for key in others if key not in LOSSES and not tells(name_of(key))]
    recorded = read_recorded(connection, study_id, of_rows) if of_rows else {}
    return [
        _past_trial(
            row,
            objective,
            {loss.name: row[loss.name] for loss in losses} | recorded.get(row["number"], {}),
            readings.get(row["number"], ()),
        )
        for row in rows
    ]


def _past_trial(
    row: RowMapping, objective: str, known: Mapping[str, float | None], readings: Sequence[RungReading]
) -> PastTrial:
    state = TrialState(row["state"])
    is_completed = state is TrialState.COMPLETED
    is_measured = is_completed or state is TrialState.STOPPED
    return PastTrial(
        number=row["number"],
        state=state,
        layout=row["layout"] or "",
        params=row["params"] if isinstance(row["params"], dict) else {},
        value=row[objective] if is_measured else None,
        added=row["origin"] in (ADDED, TOLD),
        peak_memory=row["peak"],
        metrics={key: value for key, value in known.items() if value is not None} if is_completed else {},
        layout_end=(row["layout_end"] or "") if is_completed else "",
        readings=_known(readings, state, row["may_pass"]),
        may_pass=row["may_pass"],
        stopped_by=row["rule"] or "",
    )


def read_recorded(connection: Connection, study_id: int, keys: Sequence[str]) -> dict[int, dict[str, float]]:
    """Read what trials' rows say of metrics, by number and key: the median of the newest ones (growlab.metrics).

    What a layout alone tells is a row too, of a trial that ended when its study asked for it.
    """
    found: dict[int, dict[str, float]] = {}
    for key in keys:
        rows = rows_of(key)
        newest_first = func.row_number().over(partition_by=metrics.c.trial_id, order_by=metrics.c.step.desc())
        ranked = (
            select(trials.c.number, metrics.c.value, newest_first.label("rank"))
            .join_from(metrics, trials)
            .where(trials.c.study_id == study_id, metrics.c.split == rows.split, metrics.c.name == rows.name)
            .subquery()
        )
        by_trial: dict[int, list[float | None]] = {}
        for row in connection.execute(select(ranked).where(ranked.c.rank <= rows.n_newest)):
            by_trial.setdefault(row.number, []).append(row.value)
        for number, values in by_trial.items():
            if (numbers := [value for value in values if value is not None]) and len(numbers) == len(values):
                found.setdefault(number, {})[key] = median(numbers)
    return found


def _known(readings: Sequence[RungReading], state: TrialState, may_pass: int) -> tuple[RungReading, ...]:
    """The readings of a trial that its state stands for: one that pauses, or comes to its end, meanwhile has more."""
    n = len(readings) if state.is_final else may_pass + (state is TrialState.PAUSED)
    return tuple(readings[:n])


_IS_PEAK = (
    (metrics.c.trial_id == trials.c.id)
    & (metrics.c.step == trials.c.steps)
    & (metrics.c.split == "train")
    & (metrics.c.name == PEAK_MEMORY)
)


def read_trials(connection: Connection, study_id: int) -> list[TrialRow]:
    """Read trials by number."""
    asked = _trial_rows(connection).where(trials.c.study_id == study_id)
    found = connection.execute(asked.order_by(trials.c.number))
    names = list(found.keys())
    return [_trial_row(names, row) for row in found.all()]


def read_trial(connection: Connection, study_id: int, number: int) -> TrialRow:
    """Read a trial by its number. Raises NotFound."""
    asked = _trial_rows(connection).where(trials.c.study_id == study_id, trials.c.number == number)
    found = connection.execute(asked)
    names = list(found.keys())
    row = found.one_or_none()
    if row is None:
        raise _not_found(connection, study_id, number)
    return _trial_row(names, row)


def read_attempts(connection: Connection, trial_id: int) -> list[AttemptRow]:
    """Read attempts by epoch: the order in which they were made."""
    of_attempt = ("id", "epoch", "started_at", "heartbeat_at", "ended_at", "end_reason", "note", "step")
    of_worker = (workers.c.name.label("worker"), workers.c.host, workers.c.device, workers.c.versions)
    asked = select(*(attempts.c[name] for name in of_attempt), *of_worker)
    joined = asked.join_from(attempts, workers).where(attempts.c.trial_id == trial_id).order_by(attempts.c.epoch)
    rows = connection.execute(joined).mappings()
    return [
        AttemptRow(**{**row, "end_reason": EndReason(row["end_reason"]) if row["end_reason"] else None}) for row in rows
    ]


def read_attempt_times(connection: Connection, study_id: int) -> list[tuple[float, float]]:
    """Read the times of a study's attempts on the database's clock: when they began, and when they were last heard.

    An attempt that ends itself is heard in the same transaction; that one was lost is noticed by the next claim, which
    may be days later.
    """
    of_study = select(attempts.c.started_at, attempts.c.heartbeat_at).join_from(attempts, trials)
    rows = connection.execute(of_study.where(trials.c.study_id == study_id).order_by(attempts.c.id))
    return [(row.started_at, row.heartbeat_at) for row in rows]


def _is_json(connection: Connection, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the column holds JSON: SQLite keeps any text in it."""
    return func.json_valid(cast(column, Text)) == 1 if connection.dialect.name == "sqlite" else true()


_AS_STORED = [column for column in trials.c if column.name not in ("spec", "lease_s", "lease_expires_at")]


def _trial_rows(connection: Connection) -> Select[Any]:
    sound = _is_json(connection, trials.c.spec)
    return select(
        *_AS_STORED,
        cast(trials.c.spec, Text).label("spec_json"),
        case((sound, trials.c.spec["seed"].as_string())).label("seed"),
        (trials.c.lease_expires_at - database_now()).label("lease_left_s"),
        _while_open("newest_step", _newest_step(), trials.c.steps),
        _while_open("newest_val_loss", _newest_of_val("loss"), trials.c.val_loss),
        # a completed trial was evaluated at its end: to look there is quick, to look for what a text has not takes long
        case((_HAS_END, _of_val("accuracy", trials.c.steps)), else_=_newest_of_val("accuracy")).label(
            "newest_accuracy"
        ),
        _while_paused("paused_mark", _at_its_rung(rungs.c.mark)),
        # of all trials it would take a report a fiftieth
        _while_paused("paused_budget", case((sound, trials.c.spec["budget", "amount"].as_string()))),
        _while_paused("paused_val_loss", _at_its_rung(rungs.c.val_loss)),
    )


def _while_open(name: str, newest: ScalarSelect[Any], final: Any) -> Label[Any]:
    return case((IS_OPEN, newest), else_=final).label(name)


def _while_paused(name: str, value: ColumnElement[Any]) -> Label[Any]:
    return case((trials.c.state == TrialState.PAUSED, value)).label(name)


def _at_its_rung(column: ColumnElement[Any]) -> ScalarSelect[Any]:
    """A column of the reading at the rung where a trial waits."""
    return select(column).where(rungs.c.trial_id == trials.c.id, rungs.c.rung == trials.c.may_pass).scalar_subquery()


def _newest_step() -> ScalarSelect[Any]:
    return select(func.max(metrics.c.step)).where(metrics.c.trial_id == trials.c.id).scalar_subquery()


_HAS_END = (trials.c.state == TrialState.COMPLETED) & trials.c.steps.is_not(None)


def _of_val(name: str, step: ColumnElement[Any]) -> ScalarSelect[Any]:
    is_it = (metrics.c.trial_id == trials.c.id) & (metrics.c.step == step)
    return select(metrics.c.value).where(is_it, metrics.c.split == "val", metrics.c.name == name).scalar_subquery()


def _newest_of_val(name: str) -> ScalarSelect[Any]:
    asked = (metrics.c.trial_id == trials.c.id) & (metrics.c.split == "val") & (metrics.c.name == name)
    return select(metrics.c.value).where(asked).order_by(metrics.c.step.desc()).limit(1).scalar_subquery()


def _trial_row(names: Sequence[str], row: Row[Any]) -> TrialRow:
    values = dict(zip(names, row, strict=True))  # a report of ten thousand waits for each: row._mapping takes longer
    values["state"] = _STATES[values["state"]]
    if values["flops"] is not None:
        values["flops"] = int(values["flops"])
    values["seed"] = _whole_or_none(values["seed"])
    if values["paused_budget"] is not None:
        values["paused_budget"] = _whole_or_none(values["paused_budget"])
    return made(TrialRow, values)


_STATES = {str(state): state for state in TrialState}


def _whole_or_none(value: object) -> int | None:
    """A number of a JSON column, which one driver gives as it is and another one as text; None of anything else."""
    try:
        return int(str(value))
    except ValueError:
        return None


def _not_found(connection: Connection, study_id: int, number: int) -> NotFound:
    asked = select(func.min(trials.c.number), func.max(trials.c.number)).where(trials.c.study_id == study_id)
    first, last = connection.execute(asked).one()
    if first is None:
        return NotFound(f"no trial {number}: the study has none yet")
    return NotFound(f"no trial {number}; the study has trials {first} to {last}")
