"""All that a report of a study says, read once: for a terminal, JSON, a page, a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass

from growlab.errors import require
from growlab.preparation.fronts import Front
from growlab.records import TrialState
from growlab.report.columns import LeaderboardRow
from growlab.report.failures import Failure, failures_of
from growlab.report.leaderboard import leaderboard, read_marks
from growlab.report.overview import Overview, read_overview
from growlab.report.selection import EVERYTHING, Selected, Selection, searched_names, select
from growlab.storage import Store, StudyRow, TrialRow, WorkerRow


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    overview: Overview
    selection: Selection
    sort_by: str
    selected: Selected
    rows: Sequence[LeaderboardRow]  # of all trials, in order
    front: Front | None  # of several objectives, or constraints
    workers: Sequence[WorkerRow]  # that ever tried a trial, in the order in which they came
    failures: Sequence[Failure]


def read_study_report(
    store: Store,
    row: StudyRow,
    selection: Selection = EVERYTHING,
    sort_by: str = "",
    front: Front | None = None,
    *,
    front_only: bool = False,
    trials: Sequence[TrialRow] | None = None,
) -> StudyReport:
    """Read a study's report; its rows are sorted by a column (growlab.report.leaderboard), or its first objective.

    `front` is what is known of several objectives (growlab.preparation.layout_metrics); with `front_only` no other
    trial is selected. `trials` are those of the study, where they have been read. Raises UsageError for a selection
    that cannot be made.
    """
    require(selection.top >= 0, "--top", "at least 0", selection.top)
    by = sort_by or row.study.objective.metric
    trials = store.trials(row.id) if trials is None else trials
    rows = leaderboard(trials, by, read_marks(store, row.id), front, searched_names(row.study))
    workers = store.workers(row.id)
    counts = dict.fromkeys(TrialState, 0)
    for trial in trials:
        counts[trial.state] += 1
    return StudyReport(
        overview=read_overview(store, row, counts, workers),
        selection=selection,
        sort_by=by,
        selected=select([ranked for ranked in rows if ranked.front] if front_only else rows, selection, row.study),
        rows=rows,
        front=front,
        workers=workers,
        failures=failures_of(trials),
    )
