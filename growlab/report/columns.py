"""The columns of a leaderboard: what a row holds, and of each column its name, its cell on a terminal and its uses."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from types import NoneType
from typing import Any, get_args

from growlab import amounts
from growlab.records import TrialState
from growlab.report.terminal_table import TableColumn
from growlab.report.trial_values import TrialValue, full_key, value_text

OVERFITS, ON_FRONT = "↑", "◆"


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """A trial on the leaderboard. None: not known, or not yet."""

    rank: int | None  # place among the completed trials, by the loss
    trial: int
    layout: str  # at the start of training, in short form
    depth_start: int  # blocks
    depth_end: int | None
    n_params: int | None  # at the end
    val_loss: float | None  # nats per token, last evaluation; of an open trial the newest, of a paused one at its rung
    best_val_loss: float | None
    bits_per_byte: float | None
    flops: int | None
    tokens: int | None
    elapsed_s: float | None
    state: TrialState
    engine: str | None  # eager, graph, …: how its steps were executed
    accuracy: float | None  # share of right answers at the newest evaluation, of a synthetic task
    overfits_since: int | None  # the step of the best val_loss, where it has risen for long (report.overfitting)
    told: bool | None = None  # True: a person told its result, and nothing was trained
    front: bool | None = (
        None  # whether no trial is better in all objectives; None where a study has one, without bounds
    )
    feasible: bool | None = None  # whether it holds all constraints; None of a study without any
    metrics: Mapping[str, float] = field(default_factory=dict)  # of several objectives and constraints, by their keys
    rung: int | None = None  # at which it waits, from 1
    rung_share: float | None = None  # of its budget, there
    searched: Mapping[str, TrialValue] = field(default_factory=dict)  # scalars as the sampler drew them, by full name
    seed: int | None = None  # None of a damaged row
    growths: int | None = None  # times that it grew, by however many units
    layout_end: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of the leaderboard."""

    name: str  # a field of LeaderboardRow, the full name of a searched scalar, a metric; what scripts rely on
    on_terminal: TableColumn[LeaderboardRow] | None = None  # where it is one there unasked
    of_some: bool = False  # there only where a trial has a value: a study of a text keeps its columns
    held_in: str = ""  # the field that holds it by its name, of a searched scalar or a metric; '' where it is a field

    def value(self, row: LeaderboardRow) -> Any:
        """What the row holds; None where it is not known, or where the scalar does not act in that trial."""
        return self.getter(row)

    @property
    def getter(self) -> Callable[[LeaderboardRow], Any]:
        """The same as a function, for whoever asks ten thousand rows."""
        if not self.held_in:
            return attrgetter(self.name)
        held, name = attrgetter(self.held_in), self.name
        return lambda row: held(row).get(name)

    @property
    def shown(self) -> TableColumn[LeaderboardRow]:
        """The column on a terminal of somebody who asked for it by name."""
        return self.on_terminal or TableColumn(self.name, lambda row: short(self.value(row)), "left")

    def dtype(self, rows: Sequence[LeaderboardRow]) -> str:
        """The type in pandas. Whole numbers must not pass through a float: FLOPs exceed 2**53, and in the end 2**63."""
        if self.name == "flops":
            return "object"
        if not self.held_in:
            return _DTYPES[_plain(LeaderboardRow.__annotations__[self.name])]
        types = {type(value) for row in rows if (value := self.value(row)) is not None}
        return _DTYPES.get(next(iter(types)), "object") if len(types) == 1 else "object"


_DTYPES: dict[type, str] = {bool: "boolean", int: "Int64", float: "float64", str: "str", TrialState: "str"}


def _plain(declared: Any) -> type:
    """The type of a field that may be None."""
    return next(part for part in (*get_args(declared), declared) if isinstance(part, type) and part is not NoneType)


def _rank(row: LeaderboardRow) -> str:
    return (f"{ON_FRONT} " if row.front else "") + amounts.whole(row.rank)


def _val_loss(row: LeaderboardRow) -> str:
    at = "" if row.rung_share is None else f" at {amounts.fraction(row.rung_share)}"
    return (f"{OVERFITS} " if row.overfits_since is not None else "") + amounts.loss(row.val_loss) + at


def _state(row: LeaderboardRow) -> str:
    return f"{row.state}, told" if row.told else row.state


# In the order of a terminal; programs get those that only some studies have last, where they move no other.
COLUMNS = (
    Column("rank", TableColumn("rank", _rank)),
    Column("trial", TableColumn("trial", lambda row: str(row.trial))),
    Column("layout", TableColumn("layout", lambda row: row.layout, "left", folds=True)),
    Column("depth_start"),
    Column("depth_end", TableColumn("depth", lambda row: amounts.depth(row.depth_start, row.depth_end))),
    Column("n_params", TableColumn("params", lambda row: amounts.count(row.n_params))),
    Column("val_loss", TableColumn("val_loss", _val_loss)),
    Column("best_val_loss", TableColumn("best", lambda row: amounts.loss(row.best_val_loss))),
    Column("accuracy", TableColumn("accuracy", lambda row: amounts.share(row.accuracy)), of_some=True),
    Column("bits_per_byte", TableColumn("bits/byte", lambda row: amounts.loss(row.bits_per_byte))),
    Column("flops", TableColumn("compute", lambda row: amounts.flops(row.flops))),
    Column("tokens", TableColumn("tokens", lambda row: amounts.count(row.tokens))),
    Column("elapsed_s", TableColumn("time", lambda row: amounts.duration(row.elapsed_s))),
    Column("state", TableColumn("state", _state, "left")),
    Column("engine"),
    Column("overfits_since", of_some=True),
    Column("told", of_some=True),
    Column("front", of_some=True),
    Column("feasible", of_some=True),
    Column("rung", of_some=True),
    Column("rung_share", of_some=True),
    Column("seed", TableColumn("seed", lambda row: amounts.whole(row.seed)), of_some=True),
    Column("growths", TableColumn("growths", lambda row: amounts.whole(row.growths)), of_some=True),
    Column("layout_end", of_some=True),
)
OWN = {column.name: column for column in COLUMNS}  # those that any study has, whatever its rows hold
_HEADERS = [column.on_terminal.header for column in COLUMNS if column.on_terminal is not None]


def columns_of(rows: Sequence[LeaderboardRow]) -> list[Column]:
    """The columns of these rows, without those of which no row has a value and that only some studies have."""
    return [
        column for column in COLUMNS if not column.of_some or any(getattr(row, column.name) is not None for row in rows)
    ]


def searched_columns(rows: Sequence[LeaderboardRow]) -> list[Column]:
    """A column for each scalar that was searched in any of these rows, in the order in which trials drew them."""
    drawn = dict.fromkeys(tuple(row.searched) for row in sorted(rows, key=lambda row: row.trial))
    names = dict.fromkeys(name for each in drawn for name in each)
    n_ending = Counter([*map(_last_part, names), *_HEADERS])  # a header names one column
    headers = {name: end if n_ending[end := _last_part(name)] == 1 else name for name in names}
    return [Column(name, _searched_on_terminal(name, headers[name]), held_in="searched") for name in names]


def known_columns(
    rows: Sequence[LeaderboardRow], metrics: Iterable[str] = (), scalars: Iterable[str] = ()
) -> list[Column]:
    """Every column that a person may name: those of these rows, and those that they might have, by metric and scalar.

    So a name is known before the first trial has a value.
    """
    columns = {column.name: column for column in [*COLUMNS, *metric_columns(rows), *searched_columns(rows)]}
    own = {*columns, "params"}
    for held_in, names in {"metrics": metrics, "searched": scalars}.items():
        columns |= {name: Column(name, held_in=held_in) for name in names if name not in own}
    return list(columns.values())


def column_named(name: str, columns: Sequence[Column]) -> Column:
    """The column of that name, as a program or a terminal has it, or with that as the end of its name: lr of train.lr.

    Raises UnknownName, and UsageError where several end so.
    """
    by_name = {column.name: column for column in columns}
    by_header = {column.on_terminal.header: column for column in columns if column.on_terminal}
    if found := by_name.get(name) or by_header.get(name):
        return found
    return by_name[full_key(name, by_name, "column")]


def metric_columns(rows: Sequence[LeaderboardRow]) -> list[Column]:
    """A column for each metric of these rows that has none of its own, in the order of the study."""
    own = {*OWN, "params"}
    found = dict.fromkeys(tuple(row.metrics) for row in rows)
    names = dict.fromkeys(name for each in found for name in each if name not in own)
    return [Column(name, _metric_on_terminal(name), held_in="metrics") for name in names]


def _metric_on_terminal(name: str) -> TableColumn[LeaderboardRow]:
    return TableColumn(name, lambda row: amounts.measured(row.metrics.get(name)))


def _searched_on_terminal(name: str, header: str) -> TableColumn[LeaderboardRow]:
    return TableColumn(header, lambda row: short(row.searched.get(name)))


def short(value: TrialValue) -> str:
    """A value with four digits, as a table has it."""
    return f"{value:.4g}" if isinstance(value, float) else value_text(value)


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def columns_for_programs(rows: Sequence[LeaderboardRow]) -> list[Column]:
    """The columns of these rows, in the order that scripts rely on; metrics and searched scalars come last."""
    own = sorted(columns_of(rows), key=lambda column: column.of_some)
    return [*own, *metric_columns(rows), *searched_columns(rows)]


def columns_for_terminals(rows: Sequence[LeaderboardRow]) -> list[TableColumn[LeaderboardRow]]:
    """The columns of these rows that a terminal has, from left to right."""
    columns = [*columns_of(rows), *metric_columns(rows)]
    return [column.on_terminal for column in columns if column.on_terminal is not None]


def searched_for_terminals(rows: Sequence[LeaderboardRow]) -> list[TableColumn[LeaderboardRow]]:
    """The columns of searched scalars in which these rows differ, for a terminal."""
    return [
        column.on_terminal
        for column in searched_columns(rows)
        if column.on_terminal is not None and len({column.value(row) for row in rows}) > 1
    ]
