"""The leaderboard that people read: amounts with units, the best trial highlighted, what memorises marked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from growlab import amounts
from growlab.records import TrialState
from growlab.report.columns import OVERFITS, LeaderboardRow, columns_for_terminals, searched_for_terminals
from growlab.report.leaderboard import best_by_best_val_loss
from growlab.report.terminal import Trimmed, as_it_is, console_for, folded
from growlab.report.terminal_table import (
    LEAST_LAYOUT,
    TableColumn,
    fitting,
    print_left_out,
    room_beside,
    table_of,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BEST = "bold green"
_LEAST_NEEDED_LAYOUT = 10  # where only columns are left by which people decide
_MOST_LAYOUT = 60  # one long layout must not move all numbers out of sight
_LAYOUT_LINES = 4  # on a terminal; the rest is an ellipsis
_MOST_NAMED = 3  # searched scalars for which there is no room


# What a narrow terminal can do without, the first first, after what was searched; then, one by one, what people
# decide by.
_DISPENSABLE = ("tokens", "time", "best", "state")
_NEEDED = ("compute", "bits/byte", "depth", "params", "rank")


def print_table(rows: Sequence[LeaderboardRow], stream: TextIO, title: str, notes: Sequence[str] = ()) -> None:
    """Print the leaderboard, in full into a pipe, on a terminal with as many columns as it has room for; then notes."""
    console = console_for(stream)
    if title:
        console.print(as_it_is(title, "bold"))
    if not rows:
        console.print("no trials yet")
        return
    table, left_out = _fitting_table(rows, console)
    console.print(Trimmed(table))
    for note in (*_notes(rows), *notes):
        console.print(as_it_is(note))
    print_left_out(left_out, console, "--format tsv")


def _fitting_table(rows: Sequence[LeaderboardRow], console: "Console") -> tuple["Table", list[str]]:
    """The table, and the names of what there is no room for: columns, and at last the ends of layouts."""
    overfitting = any(row.overfits_since is not None for row in rows)
    best_tells_more = overfitting or best_by_best_val_loss(rows) is not None
    searched = [column.header for column in searched_for_terminals(rows)]
    kept = ["best"] if best_tells_more else []
    dispensable = [*reversed(searched), *(header for header in _DISPENSABLE if header not in kept)]
    longest = max(len(row.layout) for row in rows)

    def least_width(hidden: Sequence[str]) -> int:
        return min(longest, LEAST_LAYOUT if len(hidden) < len(dispensable) else _LEAST_NEEDED_LAYOUT)

    def draw(hidden: Sequence[str], layout: Callable[[LeaderboardRow], str]) -> "Table":
        columns = [replace(column, cell=layout) if column.folds else column for column in _columns(rows, hidden)]
        gap = 2 if len(hidden) < len(dispensable) else 1
        return table_of(rows, columns, folded_width=least_width(hidden), gap=gap, style_of=best_style)

    # measured without layouts: rich would not break what has no blank
    frame, hidden = fitting(lambda hidden: draw(hidden, lambda row: ""), [*dispensable, *_NEEDED], console)
    names = _summed_up(hidden, searched)
    if not console.is_terminal:
        return draw(hidden, lambda row: row.layout), names
    width = min(longest, max(least_width(hidden) + room_beside(frame, console), 1), _MOST_LAYOUT)
    layouts = {row.layout: folded(row.layout, width, _LAYOUT_LINES, console) for row in rows}
    cut = any(text.endswith("…") for text in layouts.values())
    return draw(hidden, lambda row: layouts[row.layout]), [*names, *["whole layouts"] * cut]


def _summed_up(hidden: Sequence[str], searched: Sequence[str]) -> list[str]:
    """The columns that are left out, many searched scalars in one phrase."""
    n = sum(header in searched for header in hidden)
    if n <= _MOST_NAMED:
        return list(hidden)
    return [f"{n} searched values", *(header for header in hidden if header not in searched)]


def _columns(rows: Sequence[LeaderboardRow], hidden: Sequence[str]) -> list[TableColumn[LeaderboardRow]]:
    rank, *rest = [*columns_for_terminals(rows), *searched_for_terminals(rows)]
    if "state" in hidden:
        rank = replace(rank, cell=_rank_or_state)
    return [column for column in (rank, *rest) if column.header not in hidden]


def _rank_or_state(row: LeaderboardRow) -> str:
    """The rank, or of a trial that is not completed its state, where that has no column of its own."""
    return amounts.whole(row.rank) if row.state is TrialState.COMPLETED else row.state


def _notes(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Lines that a reader of the ranks should know."""
    if overfitting := sorted((row.overfits_since, row.trial) for row in rows if row.overfits_since is not None):
        trials = (f"trial {number} overfits since step {step}" for step, number in overfitting)
        yield f"{OVERFITS} {', '.join(trials)}: val_loss rises while the training loss falls"
    if other := best_by_best_val_loss(rows):
        loss = amounts.loss(other.best_val_loss)
        yield f"by best_val_loss trial {other.trial} would be first, with {loss}: use --sort-by best_val_loss"


def best_style(row: LeaderboardRow) -> str | None:
    """The style of the line of the best trial; where there is a front, of all that are on it."""
    return _BEST if (row.rank == 1 if row.front is None else row.front) else None
