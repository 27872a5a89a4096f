"""Each frame of a study, read from its database."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from growlab.frames import columns
from growlab.frames.making import frame_of, frame_of_mappings, series
from growlab.preparation.fronts import Front
from growlab.report.columns import metric_columns, searched_columns
from growlab.report.leaderboard import read_leaderboard
from growlab.storage import Store, StudyRow, TrialRow
from growlab.storage.whole_study import ATTEMPT_FIELDS, DECISION_FIELDS

if TYPE_CHECKING:
    import pandas as pd


def read_trials(store: Store, row: StudyRow, front: Front | None) -> "pd.DataFrame":
    """One row per trial, by number: columns.TRIALS, then metrics of a study with several, then searched scalars.

    Of a training of an ablation its arm, stage, budget and repeat come last.
    """
    ranked = {at.trial: at for at in read_leaderboard(store, row.id, row.study.objective.metric, front)}
    decided = {decision["trial"]: decision for decision in _decided(store, row)}
    trials = store.trials(row.id)
    mappings = [
        _fields(trial) | vars(ranked[trial.number]) | {"state": str(trial.state)} | decided.get(trial.number, {})
        for trial in trials
        if trial.number in ranked  # else it was proposed after the leaderboard was read
    ]
    frame = frame_of_mappings(columns.TRIALS, mappings)
    rows = [ranked[number] for number in frame.trial]
    for column in [*metric_columns(rows), *searched_columns(rows)]:
        frame[column.name] = series(column.dtype(rows), [column.value(each) for each in rows])
    cells = [trial.params if isinstance(trial.params, Mapping) else {} for trial in trials if trial.number in ranked]
    for name, dtype in columns.CELL.items():
        if any(name in cell for cell in cells):
            frame[name] = series(dtype, [cell.get(name) for cell in cells])
    return frame


def _fields(trial: TrialRow) -> dict[str, Any]:
    """What the leaderboard does not say of a trial."""
    names = ("steps", "created_at", "started_at", "ended_at")
    return {name: getattr(trial, name) for name in names} | {"error": trial.error or None}


def _decided(store: Store, row: StudyRow) -> list[dict[str, Any]]:
    keys = ("trial", "origin", "parent")
    rows = (dict(zip(DECISION_FIELDS, decision, strict=True)) for decision in store.all_decisions(row.id))
    return [{key: decision[key] for key in keys} for decision in rows]


def read_metrics(store: Store, row: StudyRow, names: Collection[str], split: str) -> "pd.DataFrame":
    """One row per metric and step, by trial and step."""
    return frame_of(columns.METRICS, store.all_metrics(row.id, names, split))


def read_trajectory(store: Store, row: StudyRow, tensor: str | None) -> "pd.DataFrame":
    """One row per trial, step, unit and tensor."""
    return frame_of(columns.TRAJECTORY, store.all_trajectory(row.id, tensor))


def read_growth_events(store: Store, row: StudyRow) -> "pd.DataFrame":
    """One row per unit that entered a model."""
    return frame_of(columns.GROWTH_EVENTS, store.all_growth_events(row.id))


def read_decisions(store: Store, row: StudyRow) -> "pd.DataFrame":
    """One row per proposal, by trial, then one per promotion, in the order in which they were made."""
    proposals = [
        {"decision": "proposal", **dict(zip(DECISION_FIELDS, decision, strict=True))}
        for decision in store.all_decisions(row.id)
    ]
    promotions = [
        {"decision": "promotion", "trial": promotion.trial, "rung": promotion.rung + 1}
        | (
            {f"predicted_{name}": value for name, value in asdict(promotion.predicted).items()}
            if promotion.predicted
            else {}
        )
        for promotion in store.all_promotions(row.id)
    ]
    return frame_of_mappings(columns.DECISIONS, [*proposals, *promotions])


def read_readings(store: Store, row: StudyRow) -> "pd.DataFrame":
    """One row per trial and rung that it came to."""
    found = store.all_readings(row.id)
    rows = [
        {"trial": trial, **asdict(reading), "rung": reading.rung + 1}
        for trial, readings in found.items()
        for reading in readings
    ]
    return frame_of_mappings(columns.READINGS, rows)


def read_attempts(store: Store, row: StudyRow) -> "pd.DataFrame":
    """One row per attempt, in the order in which they began."""
    assert tuple(column.name for column in columns.ATTEMPTS) == ATTEMPT_FIELDS
    return frame_of(columns.ATTEMPTS, store.all_attempts(row.id))


def workers_of(attempts: "pd.DataFrame") -> "pd.DataFrame":
    """One row per worker that made one of these attempts, in the order in which they came."""
    rows = []
    for worker_id, own in attempts.groupby("worker_id", sort=False):
        last = own.iloc[-1]
        rows.append(
            {
                "worker_id": worker_id,
                **{name: last[name] for name in ("worker", "host", "device")},
                "first_at": own.started_at.min().timestamp(),
                "heartbeat_at": own.heartbeat_at.max().timestamp(),
                "attempts": len(own),
                "finished": int((own.end_reason == "finished").sum()),
                "busy_s": float((own.heartbeat_at - own.started_at).dt.total_seconds().sum()),
                "trial": last.trial if last.isna()["ended_at"] else None,
            }
        )
    return frame_of_mappings(columns.WORKERS, rows)
