"""What was measured, for a person on a terminal or for a program in a pipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from growlab import amounts
from growlab.bench.rows import Report, Row
from growlab.delimited import delimited
from growlab.report.terminal import as_it_is, console_for, fitting

_LEAST_LAYOUT = 16  # characters per line; a narrow terminal loses columns before layouts get narrower
_FIRST_TO_GO = ("start", "params", "engine", "min–max", "FLOP/s", "evaluations", "each")
_FAILED = "red"
LEGEND = (
    "min–max of the rounds. Roofline: the least time in which this machine can do a step's FLOPs (compute) or move its "
    "fewest bytes (memory), over the measured time. Start: building the model and its first steps."
)


@dataclass(frozen=True)
class Column:
    header: str
    cell: Callable[[Row], str]
    justify: Literal["left", "right"] = "right"
    folds: bool = False


WHAT = Column("what", lambda row: row.what, "left")
LAYOUT = Column("layout", lambda row: row.layout, "left", folds=True)
STEP_COLUMNS = (
    WHAT,
    LAYOUT,
    Column("params", lambda row: amounts.count(row.n_params)),
    Column("ms/step", lambda row: row.failure or plain(row.ms_per_step)),
    Column("min–max", lambda row: span(row.ms_per_step_min, row.ms_per_step_max)),
    Column("tokens/s", lambda row: amounts.count(row.tokens_per_s)),
    Column("FLOP/s", lambda row: per_second(row.flops_per_s, "")),
    Column("roofline", lambda row: share(row.roofline_share, row.roofline_bound)),
    Column("engine", lambda row: row.engine or amounts.UNKNOWN, "left"),
    Column("start", lambda row: amounts.duration(row.start_s)),
)
TRIAL_COLUMNS = (
    WHAT,
    Column("steps", lambda row: amounts.whole(row.n_steps)),
    Column("evaluations", lambda row: amounts.whole(row.n_evals)),
    Column("each", lambda row: amounts.duration(row.eval_s)),
    Column("a trial", lambda row: row.failure or amounts.duration(row.trial_s)),
    Column("trials/h", lambda row: plain(row.trials_per_hour)),
)


def print_tables(report: Report, stream: TextIO) -> None:
    """The steps, and of a study the trials that they make, with what the figures mean."""
    console = console_for(stream)
    console.print(as_it_is(title_of(report), "bold"))
    console.print()
    _print(report.rows, STEP_COLUMNS, console)
    console.print()
    console.print(LEGEND, style="dim")
    if summary := report.summary():
        console.print()
        _print(report.rows, TRIAL_COLUMNS, console)
        console.print()
        *notes, last = summary
        for note in notes:
            console.print(note, style="dim")
        console.print(last, style="bold")


def title_of(report: Report) -> str:
    """'cpu, AMD EPYC, 2 threads; at best 153 GFLOP/s in fp32, 11.2 GB/s'."""
    device, roofline = report.device, report.roofline
    n = device["threads"]
    threads = f", {n} thread{'s' if n != 1 else ''}" if device["device"] == "cpu" else ""
    return (
        f"{device['device']}, {device['name']}{threads}; at best {per_second(roofline.flops_per_s, 'FLOP/s')} "
        f"in {roofline.precision}, {per_second(roofline.bytes_per_s, 'B/s')}"
    )


def print_tsv(rows: Sequence[Row], stream: TextIO) -> None:
    """A line of names, then one per row; plain numbers with all their digits, what is not known is empty."""
    names = [each.name for each in fields(Row)]
    stream.write(delimited(names, ([getattr(row, name) for name in names] for row in rows), "\t"))


def plain(value: float | None) -> str:
    """To three digits, or to the unit, never with an exponent: '0.612', '61.2', '6120'."""
    if value is None:
        return amounts.UNKNOWN
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def span(low: float | None, high: float | None) -> str:
    return amounts.UNKNOWN if low is None or high is None else f"{plain(low)}–{plain(high)}"


def share(value: float | None, bound: str) -> str:
    """'12% compute'."""
    return amounts.UNKNOWN if value is None else f"{100 * value:.3g}% {bound}"


def per_second(value: float | None, unit: str) -> str:
    """To three digits with a prefix: '153 GFLOP/s', '11.2 GB/s'."""
    if value is None:
        return amounts.UNKNOWN
    prefixes = iter("kMGTP")
    prefix = ""
    while value >= 999.5:
        value, prefix = value / 1000, next(prefixes)
    return f"{value:.3g} {prefix}{unit}".rstrip()


def _print(rows: Sequence[Row], columns: Sequence[Column], console: Console) -> None:
    """With as many columns as the terminal has room for, and the names of those that it has not."""
    table, hidden = fitting(
        lambda hidden: _table(rows, [each for each in columns if each.header not in hidden]), _FIRST_TO_GO, console
    )
    console.print(table)
    if shown := [header for header in hidden if header in {each.header for each in columns}]:
        console.print(f"no room for {', '.join(shown)}: widen the terminal, or use --json", style="dim")


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        widest = max(cell_len(each) for each in (column.header, *map(column.cell, rows)))
        table.add_column(
            column.header,
            justify=column.justify,
            overflow="fold",
            no_wrap=not column.folds,
            min_width=min(widest, _LEAST_LAYOUT) if column.folds else widest,  # else rich would cut between two words
        )
    for row in rows:
        table.add_row(*(as_it_is(column.cell(row)) for column in columns), style=_FAILED if row.error else None)
    return table
