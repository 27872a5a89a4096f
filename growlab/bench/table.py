"""What was measured, for a person on a terminal or for a program in a pipe."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console

from growlab import amounts
from growlab.amounts import gib
from growlab.bench.block_rows import BlockReport, BlockRow
from growlab.bench.rows import Report, Row
from growlab.delimited import delimited
from growlab.report.terminal import as_it_is, console_for
from growlab.report.terminal_table import TableColumn, fitting, print_left_out, table_of

_LEAST_LAYOUT = 16  # characters per line; a narrow terminal loses columns before layouts get narrower
_FIRST_TO_GO = ("start", "params", "engine", "min–max", "FLOP/s", "evaluations", "each")
_FAILED = "red"
LEGEND = (
    "min–max of the rounds. Roofline: the least time in which this machine can do a step's FLOPs (compute) or move its "
    "fewest bytes (memory), over the measured time. Start: building the model and its first steps."
)


Column = TableColumn[Row]
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

BLOCK_LEGEND = (
    "Milliseconds, medians of the rounds; back: both passes less the one forwards. Roofline: the least time in which "
    "this machine can do both passes' FLOPs (compute) or move their fewest bytes (memory), over the measured time."
)
BLOCK_COLUMNS = (
    TableColumn[BlockRow]("block", lambda row: row.what, "left", folds=True),
    TableColumn[BlockRow]("form", lambda row: row.form or amounts.UNKNOWN, "left"),
    TableColumn[BlockRow]("batch", lambda row: str(row.batch_size)),
    TableColumn[BlockRow]("tokens", lambda row: amounts.whole(row.seq_len)),
    TableColumn[BlockRow]("forward", lambda row: row.failure or plain(row.forward_ms)),
    TableColumn[BlockRow]("back", lambda row: plain(row.backward_ms)),
    TableColumn[BlockRow]("min–max", lambda row: span(row.both_ms_min, row.both_ms_max)),
    TableColumn[BlockRow]("tokens/s", lambda row: amounts.count(row.tokens_per_s)),
    TableColumn[BlockRow]("roofline", lambda row: share(row.roofline_share, row.roofline_bound)),
    TableColumn[BlockRow]("memory", lambda row: amounts.UNKNOWN if row.peak_bytes is None else gib(row.peak_bytes)),
    TableColumn[BlockRow]("engine", lambda row: row.engine or amounts.UNKNOWN, "left"),
)
_FIRST_BLOCK_COLUMNS_TO_GO = ("engine", "min–max", "tokens/s", "batch")


def print_tables(report: Report, stream: TextIO) -> None:
    """Print the steps, and of a study the trials that they make, with what the figures mean."""
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


def print_blocks(report: BlockReport, stream: TextIO) -> None:
    """Print both passes of blocks, with what the figures mean."""
    console = console_for(stream)
    console.print(as_it_is(title_of(report), "bold"))
    console.print()
    _print(report.rows, BLOCK_COLUMNS, console, _FIRST_BLOCK_COLUMNS_TO_GO)
    console.print()
    console.print(BLOCK_LEGEND, style="dim")


def title_of(report: Report | BlockReport) -> str:
    """A line about the machine: 'cpu, AMD EPYC, 2 threads; at best 153 GFLOP/s in fp32, 11.2 GB/s'."""
    device, roofline = report.device, report.roofline
    n = device["threads"]
    threads = f", {n} thread{'s' if n != 1 else ''}" if device["device"] == "cpu" else ""
    return (
        f"{device['device']}, {device['name']}{threads}; at best {per_second(roofline.flops_per_s, 'FLOP/s')} "
        f"in {roofline.precision}, {per_second(roofline.bytes_per_s, 'B/s')}"
    )


def print_tsv(rows: Sequence[Row] | Sequence[BlockRow], stream: TextIO) -> None:
    """Write a line of names, then one per row; plain numbers with all their digits, what is not known is empty."""
    names = [field.name for field in fields(rows[0])]
    stream.write(delimited(names, ([getattr(row, name) for name in names] for row in rows), "\t"))


def plain(value: float | None) -> str:
    """A number to three digits, or to the unit, never with an exponent: '0.612', '61.2', '6120'."""
    if value is None:
        return amounts.UNKNOWN
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def span(low: float | None, high: float | None) -> str:
    return amounts.UNKNOWN if low is None or high is None else f"{plain(low)}–{plain(high)}"


def share(value: float | None, bound: str) -> str:
    """A share and what bounds it: '12% compute'."""
    return amounts.UNKNOWN if value is None else f"{100 * value:.3g}% {bound}"


def per_second(value: float | None, unit: str) -> str:
    """A rate to three digits with a prefix: '153 GFLOP/s', '11.2 GB/s'."""
    if value is None:
        return amounts.UNKNOWN
    prefixes = iter("kMGTP")
    prefix = ""
    while value >= 999.5:
        value, prefix = value / 1000, next(prefixes)
    return f"{value:.3g} {prefix}{unit}".rstrip()


def _print(
    rows: Sequence[Any],
    columns: Sequence[TableColumn[Any]],
    console: Console,
    first_to_go: Sequence[str] = _FIRST_TO_GO,
) -> None:
    """Print as many columns as the terminal has room for, and the names of those that it has not."""
    widest = max(map(cell_len, [LAYOUT.header, *(row.layout for row in rows)]))
    headers = [column.header for column in columns]
    table, hidden = fitting(
        lambda hidden: table_of(
            rows,
            [column for column in columns if column.header not in hidden],
            folded_width=min(widest, _LEAST_LAYOUT),
            style_of=lambda row: _FAILED if row.error else None,
        ),
        [header for header in first_to_go if header in headers],
        console,
    )
    console.print(table)
    print_left_out(hidden, console, "--json")
