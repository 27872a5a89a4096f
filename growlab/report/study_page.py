"""The report of a study on a terminal: how it stands, its leaderboard, its front, its workers, its failures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from growlab import amounts
from growlab.report.failures import Failure
from growlab.report.overview import DONE, OVER
from growlab.report.study_report import StudyReport
from growlab.report.table import fitted_table, notes_on
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, left_out_text, table_of
from growlab.report.title import judged_by, title_of
from growlab.storage import WorkerRow

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

USUAL_TOP = 50  # rows on a terminal, of which nobody reads more at once
_MOST_CAUSES = 8
_MOST_TRIALS = 8  # of a cause, that are named
_CAUSE_WIDTH = 30  # characters that a line of a cause has at least


def print_study(report: StudyReport, stream: TextIO) -> None:
    """Print the whole report."""
    console = console_for(stream)
    for part in study_parts(report, console):
        console.print(part)


def study_parts(report: StudyReport, console: "Console") -> "Iterator[RenderableType]":
    """What is printed of a report, from top to bottom: to a terminal once, or again and again in one place."""
    overview = report.overview
    objective = judged_by(overview.objectives)
    yield as_it_is(title_of(overview.study, overview.counts, overview.n_trials, objective), "bold")
    pace = overview.pace.in_words() if overview.pace else ""
    yield as_it_is(" · ".join(filter(None, (overview.state_in_words, overview.spent_in_words, pace))))
    yield from _leaderboard(report, console)
    for note in report.front.lines if report.front else ():
        yield as_it_is(note)
    if workers := workers_to_show(report.workers):
        yield from _section("workers", table_of(workers, _WORKER_COLUMNS))
    if gone := _gone_in_words(report.workers, goes_on=overview.state not in (DONE, OVER)):
        yield as_it_is(gone, "dim")
    if report.failures:
        causes = report.failures[:_MOST_CAUSES]
        width = min(_CAUSE_WIDTH, max(len(failure.cause) for failure in causes))
        yield from _section("failures", table_of(causes, _FAILURE_COLUMNS, folded_width=width))
        if more := report.failures[_MOST_CAUSES:]:
            yield as_it_is(f"and {sum(len(cause.trials) for cause in more)} more, of {len(more)} causes: use --json")


def _leaderboard(report: StudyReport, console: "Console") -> "Iterator[RenderableType]":
    selected, where = report.selected, report.selection.where
    if not selected.n_trials:
        yield as_it_is("no trials yet")
        return
    if where:
        of = f"{selected.n_matching} of {selected.n_trials} trials"
        yield as_it_is(f"{of} where {where}" if selected.rows else f"none of {selected.n_trials} trials where {where}")
    if not selected.rows:
        return
    yield as_it_is("")
    fitted = fitted_table(selected.rows, console, selected.columns)
    yield Trimmed(fitted.table)
    if more := selected.n_matching - len(selected.rows):
        yield as_it_is(f"and {more} more: use --top 0 for all", "dim")
    for note in (*fitted.notes, *notes_on(selected.rows)):
        yield as_it_is(note)
    if fitted.left_out:
        yield left_out_text(fitted.left_out, "--columns, or --format tsv")


def _section(heading: str, table: "RenderableType") -> "Iterator[RenderableType]":
    yield as_it_is("")
    yield as_it_is(heading, "bold")
    yield Trimmed(table)


# ---- workers --------------------------------------------------------------------------------------------------------


def workers_to_show(workers: Sequence[WorkerRow]) -> list[WorkerRow]:
    """Those that are heard, and those that hold a trial though they are not."""
    return [worker for worker in workers if worker.is_heard or worker.trial is not None]


def _gone_in_words(workers: Sequence[WorkerRow], *, goes_on: bool) -> str:
    """Those that left, and those that went without a word; of a study that has ended it is no news that all left."""
    gone = [worker for worker in workers if not worker.is_heard and worker.trial is None]
    left = sum(worker.ended_at is not None for worker in gone)
    lost = len(gone) - left
    parts = [f"{left} left"] * (left > 0) + [f"{lost} went without a word"] * (lost > 0)
    hosts = len({worker.host for worker in gone})
    of = f"{len(gone)} worker{'s' * (len(gone) > 1)} of {hosts} host{'s' * (hosts > 1)}"
    return f"gone: {of} ({', '.join(parts)})" if lost or (left and goes_on) else ""


def _doing(worker: WorkerRow) -> str:
    if worker.trial is None:
        return "between trials"
    step = f", step {worker.step:,}" if worker.step else ""
    lost = ", not heard: its lease ran out" if worker.lease_left_s is not None and worker.lease_left_s < 0 else ""
    return f"trial {worker.trial}{step}{lost}"


_WORKER_COLUMNS = (
    TableColumn[WorkerRow]("worker", lambda worker: worker.name, "left"),
    TableColumn[WorkerRow]("host", lambda worker: worker.host, "left"),
    TableColumn[WorkerRow]("device", lambda worker: worker.device, "left"),
    TableColumn[WorkerRow]("does", _doing, "left"),
    TableColumn[WorkerRow]("tokens/s", lambda worker: amounts.count(worker.tokens_per_s)),
    TableColumn[WorkerRow]("heard", lambda worker: f"{amounts.time_left(max(worker.heard_s, 0.0))} ago"),
)


# ---- failures -------------------------------------------------------------------------------------------------------


def _trials(failure: Failure) -> str:
    named = ", ".join(map(str, failure.trials[:_MOST_TRIALS]))
    return named + (", …" if len(failure.trials) > _MOST_TRIALS else "")


_FAILURE_COLUMNS = (
    TableColumn[Failure]("n", lambda failure: str(len(failure.trials))),
    TableColumn[Failure]("state", lambda failure: failure.state, "left"),
    TableColumn[Failure]("cause", lambda failure: failure.cause, "left", folds=True),
    TableColumn[Failure]("trials", _trials, "left"),
)
