"""growlab bench: how fast this machine trains."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from growlab.commands.options import MOST_THREADS, Device, Json, Plugin, Set, say
from growlab.errors import GrowlabError, UsageError

if TYPE_CHECKING:
    import torch

    from growlab.commands.speed.rows import Report
    from growlab.commands.speed.subjects import Subject
    from growlab.data import Corpus

_TRIALS = 3
_GPU = {"d_model": 192, "depth": 12, "batch_size": 64, "seq_len": 256, "steps": 40}
_CPU = {"d_model": 128, "depth": 4, "batch_size": 16, "seq_len": 128, "steps": 10}


def _size(name: str, help: str) -> Any:
    """An option whose default depends on the device."""
    shown = f"{_GPU[name]}, on a CPU {_CPU[name]}"
    return typer.Option(f"--{name.replace('_', '-')}", min=1, help=help, show_default=shown)


def bench(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A YAML file, or the name of a study that growlab ships.")
    ] = "",
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of STUDY, its first ones.", show_default=str(_TRIALS))
    ] = None,
    set_: Set = None,
    layout: Annotated[
        list[str] | None, typer.Option(metavar="LAYOUT", help="Such as 'd=192 (attn mlp)x3'; may be repeated.")
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
    """Measure how fast this machine trains: each block kind, or layouts, or the first trials of a study.

    Milliseconds per step, tokens per second, the share of what the machine can do at best, which is measured first;
    of a study, an estimate of trials per hour. A table on a terminal, TSV in a pipe, or JSON.
    """
    from growlab.commands.speed.survey import survey

    sizes = {"d_model": d_model, "depth": depth, "batch_size": batch_size, "seq_len": seq_len}
    _refuse_idle_options(study, layout or [], {"--trials": trials, "--set": set_}, sizes)
    where = _device(device, threads)
    usual = _CPU if where.type == "cpu" else _GPU
    of = {name: usual[name] if value is None else value for name, value in sizes.items()}
    subjects, corpus = (
        _trials(study, set_ or [], trials or _TRIALS, plugin or [])
        if study
        else _kinds_or_layouts(layout or [], of, plugin or [])
    )
    report = survey(
        subjects,
        corpus,
        where,
        settings={"study": study} if study else of,
        n_steps=usual["steps"] if steps is None else steps,
        n_rounds=rounds,
        estimates_trials=bool(study),
    )
    _show(report, as_json)
    _refuse_failures(report)


def _refuse_failures(report: "Report") -> None:
    """Raises GrowlabError when a row failed by itself, or all of them for lack of memory."""
    from growlab.commands.speed.rows import OUT_OF_MEMORY

    if failed := [row for row in report.rows if row.error not in ("", OUT_OF_MEMORY)]:
        raise GrowlabError(
            f"{len(failed)} of {len(report.rows)} could not be measured: {failed[0].layout}: {failed[0].error}; "
            "growlab --debug bench … shows where"
        )
    if all(row.error for row in report.rows):
        raise GrowlabError(f"nothing could be measured: {report.device['device']} has too little memory for it")


def _refuse_idle_options(
    study: str, layouts: Sequence[str], of_study: Mapping[str, object], sizes: Mapping[str, int | None]
) -> None:
    """Raises UsageError for an option that would change nothing."""
    given = [f"--{name.replace('_', '-')}" for name, value in sizes.items() if value is not None]
    if study and (layouts or given):
        raise UsageError(
            f"{(['--layout'] if layouts else given)[0]} and a STUDY: a study has layouts and sizes of its own; "
            "change them with --set, such as --set train.batch_size=64"
        )
    if not study and (alone := [name for name, value in of_study.items() if value]):
        raise UsageError(f"{alone[0]} needs a STUDY, such as quickstart")
    if layouts and (idle := [each for each in given if each in ("--d-model", "--depth")]):
        raise UsageError(f"{idle[0]} and --layout: a layout has a width and blocks of its own")


def _device(name: str, threads: int) -> "torch.device":
    import torch

    from growlab.training.device import use_device

    device = use_device(name)
    if threads:
        torch.set_num_threads(threads)
    return device


def _trials(study: str, overrides: list[str], n: int, plugins: Sequence[Path]) -> "tuple[list[Subject], Corpus]":
    """The first of those that growlab study preview shows. Raises what it raises."""
    from growlab.commands.speed.subjects import trial_subjects
    from growlab.commands.study import prepared, read

    checked, corpus = prepared(read(study, overrides), plugins)
    return trial_subjects(checked, corpus, n), corpus


def _kinds_or_layouts(
    layouts: Sequence[str], of: Mapping[str, int], plugins: Sequence[Path]
) -> "tuple[list[Subject], Corpus]":
    from growlab.commands.speed.subjects import Sizes, embedded_data, kind_subjects, layout_subjects
    from growlab.data import load_corpus, require_windows
    from growlab.plugins import load_plugins

    load_plugins(plugins)
    sizes = Sizes(**of)
    subjects = layout_subjects(layouts, sizes) if layouts else kind_subjects(sizes)
    corpus = load_corpus(embedded_data())
    require_windows(corpus, sizes.seq_len)
    return subjects, corpus


def _show(report: "Report", as_json: bool) -> None:
    from growlab.commands.speed.table import print_tables, print_tsv
    from growlab.report.formats import write_json

    if as_json:
        write_json(report.as_mapping(), sys.stdout)
    elif sys.stdout.isatty():
        print_tables(report, sys.stdout)
    else:
        print_tsv(report.rows, sys.stdout)
        for line in report.summary():
            say(line)
