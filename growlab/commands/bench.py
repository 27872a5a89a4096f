"""growlab bench: how fast this machine trains."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from growlab.bench.sizes import N_TRIALS, ON_A_CPU, ON_A_GPU
from growlab.commands.options import MOST_THREADS, Device, Json, Plugin, Set, say
from growlab.errors import UsageError

if TYPE_CHECKING:
    from growlab.bench.block_rows import BlockReport
    from growlab.bench.rows import Report


def _size(name: str, help: str) -> Any:
    """An option whose default depends on the device."""
    shown = f"{ON_A_GPU[name]}, on a CPU {ON_A_CPU[name]}"
    return typer.Option(f"--{name.replace('_', '-')}", min=1, help=help, show_default=shown)


def bench(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of a study that growlab ships.")
    ] = "",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of STUDY, its first ones.", show_default=str(N_TRIALS))
    ] = None,
    set_: Set = None,
    layout: Annotated[
        list[str] | None, typer.Option(metavar="LAYOUT", help="Such as 'd=192 (attn mlp)x3'; may be repeated.")
    ] = None,
    block: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BLOCK",
            help="A block alone, such as mamba, or all: each kind; both passes at several lengths, by kernels and by "
            "definitions; may be repeated.",
        ),
    ] = None,
    d_model: Annotated[int | None, _size("d_model", "Width of a block kind's model.")] = None,
    depth: Annotated[int | None, _size("depth", "Blocks of a block kind's model, an even number.")] = None,
    batch_size: Annotated[int | None, _size("batch_size", "Sequences per step.")] = None,
    seq_len: Annotated[int | None, _size("seq_len", "Tokens per sequence.")] = None,
    steps: Annotated[int | None, _size("steps", "Timed steps in a round.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Median, smallest and largest are those of so many.")] = 5,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="CPU threads of torch; 0: torch decides.")] = 0,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Measure how fast this machine trains: each block kind, layouts, the first trials of a study, or blocks alone.

    Milliseconds per step, tokens per second, the share of what the machine can do at best, which is measured first;
    of a study, an estimate of trials per hour; of blocks alone both passes and the memory that they take. A table on a
    terminal, TSV in a pipe, or JSON.
    """
    from growlab.bench.benchmark import bench_blocks, bench_layouts, bench_study
    from growlab.bench.rows import require_measured

    sizes = {"d_model": d_model, "depth": depth, "batch_size": batch_size, "seq_len": seq_len}
    _refuse_idle_options(study, layout or [], block or [], {"--trials": trials, "--set": set_}, sizes)
    how: Any = {
        "n_steps": steps,
        "n_rounds": rounds,
        "device": device,
        "threads": threads,
        "plugins": plugin or [],
        "tell": say,
    }
    report: Report | BlockReport
    if study:
        report = bench_study(study, set_ or [], trials or N_TRIALS, **how)
    elif block:
        report = bench_blocks(block, sizes, **how)
    else:
        report = bench_layouts(layout or [], sizes, **how)
    _show(report, as_json)
    require_measured(report)


def _refuse_idle_options(
    study: str,
    layouts: Sequence[str],
    blocks: Sequence[str],
    of_study: Mapping[str, object],
    sizes: Mapping[str, int | None],
) -> None:
    """Raise UsageError for an option that would change nothing."""
    given = [f"--{name.replace('_', '-')}" for name, value in sizes.items() if value is not None]
    if layouts and blocks:
        raise UsageError("--layout and --block: a block is measured alone, a layout as a model; leave one of them out")
    if study and (others := [*["--layout"] * bool(layouts), *["--block"] * bool(blocks), *given]):
        raise UsageError(
            f"{others[0]} and a STUDY: a study has layouts and sizes of its own; "
            "change them with --set, such as --set train.batch_size=64"
        )
    if blocks and "--depth" in given:
        raise UsageError("--depth and --block: a block is measured alone")
    if not study and (alone := [name for name, value in of_study.items() if value]):
        raise UsageError(f"{alone[0]} needs a STUDY, such as quickstart")
    if layouts and (idle := [option for option in given if option in ("--d-model", "--depth")]):
        raise UsageError(f"{idle[0]} and --layout: a layout has a width and blocks of its own")


def _show(report: "Report | BlockReport", as_json: bool) -> None:
    from growlab.bench.block_rows import BlockReport
    from growlab.bench.table import print_blocks, print_tables, print_tsv
    from growlab.report.formats import write_json

    if as_json:
        write_json(report.as_mapping(), sys.stdout)
    elif not sys.stdout.isatty():
        print_tsv(report.rows, sys.stdout)
        for line in report.summary():
            say(line)
    elif isinstance(report, BlockReport):
        print_blocks(report, sys.stdout)
    else:
        print_tables(report, sys.stdout)
