"""The leaderboard that people read: amounts with units, the best trial highlighted, what memorises marked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

from growlab import amounts
from growlab.records import TrialState
from growlab.report.columns import (
    OVERFITS,
    Column,
    LeaderboardRow,
    columns_for_terminals,
    searched_for_terminals,
)
from growlab.report.leaderboard import best_by_best_val_loss
from growlab.report.short_layouts import short_layouts
from growlab.report.terminal import Trimmed, as_it_is, console_for, folded
from growlab.report.terminal_table import (
    LEAST_LAYOUT,
    fitting,
    print_left_out,
    room_beside,
    table_of,
    too_wide,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_BEST = "bold green"
_LEAST_NEEDED_LAYOUT = 10  # where only columns are left by which people decide
_MOST_LAYOUT = 60  # one long layout must not move all numbers out of sight
_LAYOUT_LINES = 4  # on a terminal; the rest is an ellipsis
_MOST_NAMED = 3  # searched scalars for which there is no room
_MOST_OVERFITTING = 5  # trials that a note names

# What a narrow terminal can do without, the first first; then what was searched, from the last on; then, one by one,
# what people decide by.
_DISPENSABLE = ("seed", "tokens", "growths", "time", "best")
_NEEDED = ("bits/byte", "compute", "depth", "params", "rank")
_BEFORE_LAYOUTS = _NEEDED[:3]  # they go before the end of a layout does, where that helps


def print_table(
    rows: Sequence[LeaderboardRow],
    stream: TextIO,
    title: str,
    notes: Sequence[str] = (),
    columns: Sequence[Column] = (),
) -> None:
    """Print the leaderboard, in full into a pipe, on a terminal with as many columns as it has room for; then notes.

    `columns` are those that a person wants, in that order; of none given, those that fit the rows.
    """
    console = console_for(stream)
    if title:
        console.print(as_it_is(title, "bold"))
    if not rows:
        console.print("no trials yet")
        return
    fitted = fitted_table(rows, console, columns)
    console.print(Trimmed(fitted.table))
    for note in (*fitted.notes, *notes_on(rows), *notes):
        console.print(as_it_is(note))
    print_left_out(fitted.left_out, console, "--format tsv")


@dataclass(frozen=True)
class FittedTable:
    table: "Table"
    left_out: list[str]  # columns for which there was no room, and at last the ends of layouts
    notes: tuple[str, ...]  # what all layouts have, where they are shortened by it


def fitted_table(rows: Sequence[LeaderboardRow], console: "Console", columns: Sequence[Column] = ()) -> FittedTable:
    """The table of some rows that fits a console. Where whole layouts do not, they are shortened, then folded."""
    shown = _Shown(rows, columns)
    whole = {row.layout: row.layout for row in rows}
    if not console.is_terminal or not too_wide(rows, shown.columns, console.width)(()):
        unfolded = shown.draw((), whole, folded_width=max(map(len, whole)))
        if not console.is_terminal or room_beside(unfolded, console) >= 0:
            return FittedTable(unfolded, [], ())
    short = short_layouts(whole)
    table, left_out = shown.fitted(short.texts, console)
    has_layouts = any(column.folds for column in shown.columns)
    common = f"left out of layouts, as it is the same wherever it stands: {', '.join(short.common)}"
    return FittedTable(table, left_out, (common,) if short.common and has_layouts else ())


class _Shown:
    """The rows and the columns of a leaderboard, before anybody knows how wide the terminal is."""

    def __init__(self, rows: Sequence[LeaderboardRow], chosen: Sequence[Column]) -> None:
        self.rows = rows
        searched = [] if chosen else searched_for_terminals(rows)
        self.searched = [column.header for column in searched]
        if chosen:
            self.columns = [column.shown for column in chosen]
            self.dispensable = [column.header for column in self.columns if not column.folds][:0:-1]
            self.needed = self.first_to_go = tuple[str, ...]()
            return
        self.columns = [*columns_for_terminals(rows), *searched]
        kept = {"best"} if _best_tells_more(rows) else set()
        first = (header for header in _DISPENSABLE if header not in kept)
        self.dispensable = [*first, *reversed(self.searched), "state"]
        self.needed, self.first_to_go = _NEEDED, _BEFORE_LAYOUTS

    def draw(self, hidden: Sequence[str], layouts: Mapping[str, str], *, folded_width: int, gap: int = 2) -> "Table":
        columns = [column for column in self.columns if column.header not in hidden]
        if "state" in hidden:
            columns = [replace(each, cell=_rank_or_state) if each.header == "rank" else each for each in columns]
        drawn = [replace(each, cell=lambda row: layouts[row.layout]) if each.folds else each for each in columns]
        return table_of(self.rows, drawn, folded_width=folded_width, gap=gap, style_of=best_style)

    def fitted(self, layouts: Mapping[str, str], console: "Console") -> tuple["Table", list[str]]:
        """The table that is no wider than the console, and what there was no room for."""
        longest = max(map(len, layouts.values()))

        def least_width(hidden: Sequence[str]) -> int:
            return min(longest, LEAST_LAYOUT if len(hidden) < len(self.dispensable) else _LEAST_NEEDED_LAYOUT)

        def gap(hidden: Sequence[str]) -> int:
            return 2 if len(hidden) < len(self.dispensable) else 1

        def frame(hidden: Sequence[str]) -> "Table":
            # measured without layouts: rich would not break what has no blank
            blank = dict.fromkeys(layouts, "")
            return self.draw(hidden, blank, folded_width=least_width(hidden), gap=gap(hidden))

        def texts(hidden: Sequence[str], drawn: "Table") -> dict[str, str]:
            width = min(longest, max(least_width(hidden) + room_beside(drawn, console), 1), _MOST_LAYOUT)
            return {whole: folded(text, width, _LAYOUT_LINES) for whole, text in layouts.items()}

        to_go, wider = [*self.dispensable, *self.needed], too_wide(self.rows, self.columns, console.width)
        n_gone = next((n for n in range(len(to_go)) if not wider(to_go[:n])), len(to_go))
        drawn, hidden = fitting(frame, to_go, console, n_gone)
        fitted = texts(hidden, drawn)
        if _is_cut(fitted):
            for n in range(1, len(self.first_to_go) + 1):
                fewer = list(dict.fromkeys([*hidden, *self.first_to_go[:n]]))
                if not _is_cut(whole := texts(fewer, frame(fewer))):
                    hidden, fitted = fewer, whole
                    break
        cut = _is_cut(fitted)
        names = [*self._summed_up(hidden), *["whole layouts"] * cut]
        return self.draw(hidden, fitted, folded_width=least_width(hidden), gap=gap(hidden)), names

    def _summed_up(self, hidden: Sequence[str]) -> list[str]:
        """The columns that are left out and are there at all, many searched scalars in one phrase."""
        headers = {column.header for column in self.columns}
        there = [header for header in hidden if header in headers]
        n = sum(header in self.searched for header in there)
        if n <= _MOST_NAMED:
            return there
        return [f"{n} searched values", *(header for header in there if header not in self.searched)]


def _is_cut(texts: Mapping[str, str]) -> bool:
    return any(text.endswith("…") for text in texts.values())


def _best_tells_more(rows: Sequence[LeaderboardRow]) -> bool:
    return any(row.overfits_since is not None for row in rows) or best_by_best_val_loss(rows) is not None


def _rank_or_state(row: LeaderboardRow) -> str:
    """The rank, or of a trial that is not completed its state, where that has no column of its own."""
    return amounts.whole(row.rank) if row.state is TrialState.COMPLETED else row.state


def notes_on(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Lines that a reader of the ranks should know."""
    if overfitting := sorted((row.overfits_since, row.trial) for row in rows if row.overfits_since is not None):
        trials = [f"trial {number} overfits since step {step}" for step, number in overfitting]
        more = f" and {len(trials) - _MOST_OVERFITTING} more" if len(trials) > _MOST_OVERFITTING else ""
        named = f"{', '.join(trials[:_MOST_OVERFITTING])}{more}"
        yield f"{OVERFITS} {named}: val_loss rises while the training loss falls"
    if other := best_by_best_val_loss(rows):
        loss = amounts.loss(other.best_val_loss)
        yield f"by best_val_loss trial {other.trial} would be first, with {loss}: use --sort-by best_val_loss"


def best_style(row: LeaderboardRow) -> str | None:
    """The style of the line of the best trial; where there is a front, of all that are on it."""
    return _BEST if (row.rank == 1 if row.front is None else row.front) else None
