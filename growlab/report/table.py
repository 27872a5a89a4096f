"""The leaderboard that people read: amounts with units, the best trial highlighted, layouts folded and never cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TextIO

from growlab.report import amounts
from growlab.report.leaderboard import LeaderboardRow, have_accuracy
from growlab.report.terminal import as_it_is, console_for, fitting

if TYPE_CHECKING:
    from rich.table import Table

BEST = "bold green"
_LEAST_LAYOUT = 20  # characters per line; a narrow terminal loses columns before layouts get narrower


@dataclass(frozen=True)
class Column:
    header: str
    cell: Callable[[LeaderboardRow], str]
    justify: Literal["left", "right"] = "right"
    folds: bool = False


COLUMNS = (
    Column("rank", lambda row: amounts.whole(row.rank)),
    Column("trial", lambda row: str(row.trial)),
    Column("layout", lambda row: row.layout, "left", folds=True),
    Column("depth", lambda row: amounts.depth(row.depth_start, row.depth_end)),
    Column("params", lambda row: amounts.count(row.n_params)),
    Column("val_loss", lambda row: amounts.loss(row.val_loss)),
    Column("accuracy", lambda row: amounts.share(row.accuracy)),
    Column("best", lambda row: amounts.loss(row.best_val_loss)),
    Column("bits/byte", lambda row: amounts.loss(row.bits_per_byte)),
    Column("compute", lambda row: amounts.flops(row.flops)),
    Column("tokens", lambda row: amounts.count(row.tokens)),
    Column("time", lambda row: amounts.duration(row.elapsed_s)),
    Column("state", lambda row: row.state, "left"),
)
# What a narrow terminal can do without, the first first.
_FIRST_TO_GO = ("best", "tokens", "time", "bits/byte", "compute", "params", "rank", "state")


def print_table(rows: Sequence[LeaderboardRow], stream: TextIO, title: str) -> None:
    """In full into a pipe; on a terminal with as many columns as it has room for."""
    console = console_for(stream)
    if title:
        console.print(as_it_is(title, "bold"))
    if not rows:
        console.print("no trials yet")
        return
    columns = [each for each in COLUMNS if each.header != "accuracy" or have_accuracy(rows)]
    table, hidden = fitting(
        lambda hidden: table_of(rows, [each for each in columns if each.header not in hidden]), _FIRST_TO_GO, console
    )
    console.print(table)
    if hidden:
        console.print(f"no room for {', '.join(hidden)}: widen the terminal, or use --format tsv", style="dim")


def table_of(rows: Sequence[LeaderboardRow], columns: Sequence[Column]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(
            column.header,
            justify=column.justify,
            overflow="fold",
            no_wrap=not column.folds,
            min_width=_LEAST_LAYOUT if column.folds else None,
        )
    for row in rows:
        table.add_row(*(as_it_is(column.cell(row)) for column in columns), style=BEST if row.rank == 1 else None)
    return table
