"""The report of a study in the types of JSON, as docs/report-json.md describes it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from growlab.preparation.fronts import Front
from growlab.report.columns import Column, LeaderboardRow, columns_for_programs
from growlab.report.front import front_alone, values_of
from growlab.report.json_values import json_value
from growlab.report.overview import Overview
from growlab.report.shapes import STUDY
from growlab.report.study_report import StudyReport
from growlab.storage import WorkerRow


def study_as_mapping(report: StudyReport) -> dict[str, Any]:
    """Everything that the report says. A number that is not known, or not finite, is None."""
    selected, front = report.selected, report.front
    columns: Sequence[Column] = selected.columns or columns_for_programs(selected.rows)
    selection = {
        "where": report.selection.where,
        "sort_by": report.sort_by,
        "top": report.selection.top,
        "n_matching": selected.n_matching,
        "n_trials": selected.n_trials,
    }
    mapping: dict[str, Any] = json_value(
        {
            "shape": STUDY,
            "study": _study(report.overview),
            "spent": _spent(report.overview),
            "selection": selection,
            "trials": _rows(selected.rows, columns, front),
            "front": None if front is None else front_alone(front),
            "workers": [_worker(worker) for worker in report.workers],
            "failures": [asdict(failure) for failure in report.failures],
        }
    )
    return mapping


def _rows(rows: Sequence[LeaderboardRow], columns: Sequence[Column], front: Front | None) -> list[dict[str, Any]]:
    names, getters = [column.name for column in columns], [column.getter for column in columns]
    plain = [dict(zip(names, [get(row) for get in getters], strict=True)) for row in rows]
    if front is None:
        return plain
    return [mapping | values_of(row, front) for mapping, row in zip(plain, rows, strict=True)]


def _study(overview: Overview) -> dict[str, Any]:
    pace = overview.pace
    return {
        "name": overview.study,
        "state": overview.state,
        "over": overview.over,
        "created_at": overview.created_at,
        "n_trials": overview.n_trials,
        "counts": {str(state): n for state, n in overview.counts.items()},
        "objectives": [{"metric": aim.key, "direction": aim.direction} for aim in overview.objectives],
        "trials_per_hour": pace and pace.trials_per_hour,
        "trials_at_once": pace and pace.at_once,
    }


def _spent(overview: Overview) -> dict[str, Any]:
    return {
        "flops": overview.flops,
        "worker_hours": overview.worker_hours,
        "elapsed_s": overview.elapsed_s,
        "limits": dict(overview.limits),
    }


def _worker(worker: WorkerRow) -> dict[str, Any]:
    return asdict(worker) | {"is_heard": worker.is_heard}
