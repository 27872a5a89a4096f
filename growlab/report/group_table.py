"""Groups of trials for a person (table) or a program (TSV, CSV, JSON)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, TextIO

from growlab import amounts
from growlab.report.formats import write_json, write_rows
from growlab.report.groups import GroupRow, Groups
from growlab.report.shapes import GROUPS
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, fitting, print_left_out, table_of
from growlab.report.trial_values import value_text

_MOST_VARYING = 6  # keys that are named
_COMPARED = ("n_pairs", "difference", "difference_low", "difference_high", "verdict")
_DISPENSABLE = ("time", "compute", "open", "failed", "pairs")  # on a narrow terminal, the first first
_LEAST_VALUE = 10  # characters of a column that folds


def render_groups(groups: Groups, format: str, stream: TextIO) -> None:
    """Write the groups to `stream`, as `formats.render` writes a leaderboard. Raises UnknownName for another format."""
    if format == "table":
        _print_table(groups, stream)
    elif format == "json":
        write_json(groups_as_mapping(groups), stream)
    else:
        write_rows(groups.rows, columns_for_programs(groups), format, stream)


def columns_for_programs(groups: Groups) -> list[str]:
    """The names of the columns, in the order that scripts rely on; those of a comparison only where one was asked."""
    names = [field.name for field in fields(GroupRow)]
    return names if groups.against is not None else [name for name in names if name not in _COMPARED]


def groups_as_mapping(groups: Groups) -> dict[str, Any]:
    """Everything that is known of the groups, as docs/report-json.md describes it."""
    names = columns_for_programs(groups)
    about = {name: getattr(groups, name) for name in ("studies", "key", "objective", "against", "margin", "vary")}
    rows = [{name: getattr(row, name) for name in names} for row in groups.rows]
    return {"shape": GROUPS, **about, "groups": rows}


def _print_table(groups: Groups, stream: TextIO) -> None:
    console = console_for(stream)
    console.print(as_it_is(_title(groups), "bold"))
    columns = list(_columns(groups))
    table, left_out = fitting(
        lambda hidden: table_of(
            groups.rows, [column for column in columns if column.header not in hidden], folded_width=_LEAST_VALUE
        ),
        _DISPENSABLE,
        console,
    )
    console.print(Trimmed(table))
    for note in _notes(groups):
        console.print(as_it_is(note))
    print_left_out(
        [name for name in left_out if name in {column.header for column in columns}], console, "--format tsv"
    )


def _title(groups: Groups) -> str:
    n, n_all = sum(row.n for row in groups.rows), sum(map(_n_trials, groups.rows))
    of = f"{groups.objective} of {n} of {n_all} trials"
    return f"{', '.join(groups.studies)}: {of} by {groups.key}, lower is better"


def _n_trials(row: GroupRow) -> int:
    return row.n + row.n_diverged + row.n_failed + row.n_open + row.n_stopped


def _columns(groups: Groups) -> Iterator[TableColumn[GroupRow]]:
    """The columns from left to right. A count that is 0 everywhere has none."""
    yield TableColumn(groups.key, lambda row: value_text(row.value), "left", folds=True)
    yield TableColumn("n", lambda row: str(row.n))
    for header, count in _COUNTS.items():
        if any(map(count, groups.rows)):
            yield TableColumn(header, lambda row, count=count: str(count(row)))  # type: ignore[misc]  # bound now
    yield TableColumn(groups.objective, lambda row: _with_width(row.mean, row.low, row.high))
    yield TableColumn("compute", lambda row: amounts.flops(row.flops))
    yield TableColumn("time", lambda row: amounts.duration(row.elapsed_s))
    if groups.against is not None:
        yield TableColumn("pairs", lambda row: amounts.whole(row.n_pairs))
        yield TableColumn(
            "difference", lambda row: _with_width(row.difference, row.difference_low, row.difference_high, sign="+")
        )
        yield TableColumn("verdict", _shown_verdict, "left", folds=True)


_COUNTS: dict[str, Callable[[GroupRow], int]] = {
    "diverged": lambda row: row.n_diverged,
    "stopped": lambda row: row.n_stopped,
    "failed": lambda row: row.n_failed,
    "open": lambda row: row.n_open,
}


def _shown_verdict(row: GroupRow) -> str:
    return "compared with" if row.n_pairs is None else row.verdict or amounts.UNKNOWN


def _with_width(mean: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """A mean with half the width of its interval: '1.5217 ± 0.0040'."""
    if mean is None:
        return amounts.UNKNOWN
    width = "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"
    return f"{mean:{sign}.4f}{width}"


def _notes(groups: Groups) -> Iterator[str]:
    """Lines that a reader of the numbers should know."""
    if any(row.low is not None for row in groups.rows):
        yield "±: Student's 95 % interval over seeds" + (
            "; trials of one value on one seed count as their mean" if groups.shares_seeds else ""
        )
    if groups.against is not None:
        yield from _notes_on_comparisons(groups)
    if groups.vary:
        more = f" and {len(groups.vary) - _MOST_VARYING} more" if len(groups.vary) > _MOST_VARYING else ""
        yield f"these trials differ in other values too: {', '.join(groups.vary[:_MOST_VARYING])}{more}"


def _notes_on_comparisons(groups: Groups) -> Iterator[str]:
    """How to read differences and verdicts; nothing of them where nothing could be compared."""
    compared: Sequence[GroupRow] = [row for row in groups.rows if row.n_pairs is not None]
    if any(row.n_pairs for row in compared):
        yield f"difference: to {groups.against} on the same trial seeds; negative is better"
        yield (
            "verdicts are exploratory, unless this was named before the first run; they are stricter than ±: 5 % error "
            f"for {len(compared)} comparison(s) and two looks together (Holm)"
        )
    if any(row.n_pairs == 0 for row in compared):
        yield "values without pairs: seeds are shared by trials that a study repeats, or by studies of one seed"
    if any(row.n_diverged + row.n_failed for row in groups.rows):
        yield "trials that diverged or failed are in no mean and no pair: they count against their value"
