"""The columns of a leaderboard: what a row holds, and of each column its name, its cell on a terminal and its uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from growlab import amounts
from growlab.records import TrialState
from growlab.report.terminal_table import TableColumn

OVERFITS = "↑"


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """A trial on the leaderboard. None: not known, or not yet."""

    rank: int | None  # place among the completed trials, by the loss
    trial: int
    layout: str  # at the start of training, in short form
    depth_start: int  # blocks
    depth_end: int | None
    n_params: int | None  # at the end
    val_loss: float | None  # nats per token, last evaluation; of an open trial the newest
    best_val_loss: float | None
    bits_per_byte: float | None
    flops: int | None
    tokens: int | None
    elapsed_s: float | None
    state: TrialState
    engine: str | None  # eager, graph, …: how its steps were executed
    accuracy: float | None  # share of right answers at the newest evaluation, of a synthetic task
    overfits_since: int | None  # the step of the best val_loss, where it has risen for long (report.overfitting)


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard."""

    name: str  # a field of LeaderboardRow; what scripts rely on
    on_terminal: TableColumn[LeaderboardRow] | None = None  # where it is one there
    sortable: bool = False  # the lowest number comes first
    of_some: bool = False  # there only where a trial has a value: a study of a text keeps its columns

    @property
    def dtype(self) -> str:
        """The type in pandas. Whole numbers must not pass through a float: FLOPs exceed 2**53, and in the end 2**63."""
        return "object" if self.name == "flops" else _DTYPES[_plain(LeaderboardRow.__annotations__[self.name])]


_DTYPES = {int: "Int64", float: "float64", str: "str", TrialState: "str"}


def _plain(declared: Any) -> type:
    """The type of a field that may be None."""
    return next(part for part in (*get_args(declared), declared) if isinstance(part, type) and part is not NoneType)


def _val_loss(row: LeaderboardRow) -> str:
    return (f"{OVERFITS} " if row.overfits_since is not None else "") + amounts.loss(row.val_loss)


# In the order of a terminal; programs get those that only some studies have last, where they move no other.
COLUMNS = (
    Column("rank", TableColumn("rank", lambda row: amounts.whole(row.rank))),
    Column("trial", TableColumn("trial", lambda row: str(row.trial)), sortable=True),
    Column("layout", TableColumn("layout", lambda row: row.layout, "left", folds=True)),
    Column("depth_start"),
    Column("depth_end", TableColumn("depth", lambda row: amounts.depth(row.depth_start, row.depth_end)), sortable=True),
    Column("n_params", TableColumn("params", lambda row: amounts.count(row.n_params)), sortable=True),
    Column("val_loss", TableColumn("val_loss", _val_loss), sortable=True),
    Column("best_val_loss", TableColumn("best", lambda row: amounts.loss(row.best_val_loss)), sortable=True),
    Column("accuracy", TableColumn("accuracy", lambda row: amounts.share(row.accuracy)), of_some=True),
    Column("bits_per_byte", TableColumn("bits/byte", lambda row: amounts.loss(row.bits_per_byte)), sortable=True),
    Column("flops", TableColumn("compute", lambda row: amounts.flops(row.flops)), sortable=True),
    Column("tokens", TableColumn("tokens", lambda row: amounts.count(row.tokens)), sortable=True),
    Column("elapsed_s", TableColumn("time", lambda row: amounts.duration(row.elapsed_s)), sortable=True),
    Column("state", TableColumn("state", lambda row: row.state, "left")),
    Column("engine"),
    Column("overfits_since", of_some=True),
)
SORTABLE = tuple(column.name for column in COLUMNS if column.sortable)


def columns_of(rows: Sequence[LeaderboardRow]) -> list[Column]:
    """The columns of these rows, without those of which no row has a value and that only some studies have."""
    return [
        column for column in COLUMNS if not column.of_some or any(getattr(row, column.name) is not None for row in rows)
    ]


def columns_for_programs(rows: Sequence[LeaderboardRow]) -> list[str]:
    """The names of the columns of these rows, in the order that scripts rely on."""
    return [column.name for column in sorted(columns_of(rows), key=lambda column: column.of_some)]


def columns_for_terminals(rows: Sequence[LeaderboardRow]) -> list[TableColumn[LeaderboardRow]]:
    """The columns of these rows that a terminal has, from left to right."""
    return [column.on_terminal for column in columns_of(rows) if column.on_terminal is not None]
