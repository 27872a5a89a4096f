"""growlab report"""

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab import api
from growlab.commands.completion import stored_studies
from growlab.commands.options import Json, Plugin, Storage, say
from growlab.defaults import STORAGE_DEFAULT, USUAL_MARGIN
from growlab.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from growlab.report.selection import Selection

Studies = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY…",
        help="A study; with --group-by one or several.",
        autocompletion=stored_studies,
        show_default=False,
    ),
]


def report(
    study: Studies,
    storage: Storage = STORAGE_DEFAULT,
    format: Annotated[
        str, typer.Option(metavar="table|tsv|csv|json", show_default="table on a terminal, tsv in a pipe")
    ] = "",
    where: Annotated[
        str,
        typer.Option(metavar="CONDITION", help="Of which trials, such as 'val_loss < 1.6 and has mamba'."),
    ] = "",
    sort_by: Annotated[
        str, typer.Option(metavar="COLUMN", help="The lowest comes first; -COLUMN: the highest.", show_default=False)
    ] = "",
    columns: Annotated[
        str, typer.Option(metavar="NAMES", help="Such as rank,layout,val_loss,lr, in this order.", show_default=False)
    ] = "",
    top: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Rows at most; 0: all.", show_default="50 on a terminal, else all"),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="One trial in full instead of the leaderboard.", show_default=False)
    ] = None,
    group_by: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help="A row for each value of train.lr, growth.trigger, layout, seed, study, …: mean and interval.",
        ),
    ] = "",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="With --group-by: compare the other values with this one, on the same trial seeds.",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="LOSS",
            help="With --against: a difference within it is called equal, in the objective's unit.",
            show_default=f"{USUAL_MARGIN:g}",
        ),
    ] = None,
    why: Annotated[
        bool,
        typer.Option("--why", help="Which kinds, places and scalars matter, and what would be tried next, by a model."),
    ] = False,
    pareto: Annotated[
        bool,
        typer.Option("--pareto", help="Of several objectives: only the trials that no other one is better than."),
    ] = False,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Print how a study stands, one of its trials in full, or what a value does to the objective."""
    from growlab.report.formats import FORMATS
    from growlab.report.selection import Selection, read_columns

    gc.disable()  # what a report of ten thousand trials makes is needed to its end: looking for waste takes a tenth
    chosen = "json" if as_json else format or ("table" if sys.stdout.isatty() else "tsv")
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    selects = {"--where": where, "--sort-by": sort_by, "--columns": columns, "--top": top is not None}
    modes = {"--group-by": group_by, "--why": why, "--trial": trial is not None}
    mode = _only_one(modes)
    if mode:
        _refuse(f"{mode} prints {_PRINTS[mode]}", {**selects, "--pareto": pareto})
    if mode != "--group-by":
        _refuse_comparing(against, margin, study)
    plugins = plugin or []
    match mode:
        case "--group-by":
            if margin is not None and against is None:
                raise UsageError("--margin is that of a comparison; say with which value: --against VALUE")
            _print_groups(study, group_by, against, USUAL_MARGIN if margin is None else margin, storage, chosen)
        case "--why":
            _print_why(study[0], storage, chosen, plugins)
        case "--trial":
            assert trial is not None
            _print_trial(study[0], trial, storage, chosen)
        case _:
            selection = Selection(where=where, columns=read_columns(columns) if columns else (), top=_rows(top, chosen))
            _print_study(study[0], selection, sort_by, storage, chosen, pareto, plugins)


_PRINTS = {
    "--group-by": "groups of trials",
    "--why": "what the whole study has learnt",
    "--trial": "one trial",
}


def _only_one(modes: Mapping[str, object]) -> str:
    """The one report that was asked for; '' for that of the study. Raises UsageError for several."""
    asked = [option for option, value in modes.items() if value]
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} are two reports; ask for one of them")
    return asked[0] if asked else ""


def _refuse(why: str, options: Mapping[str, object]) -> None:
    if given := [option for option, value in options.items() if value]:
        raise UsageError(f"{why}; leave {' and '.join(given)} out")


def _refuse_comparing(against: str | None, margin: float | None, studies: list[str]) -> None:
    if against is not None or margin is not None:
        raise UsageError("--against and --margin compare groups of trials; say by what: --group-by KEY")
    if len(studies) > 1:
        named = ", ".join(studies)
        raise UsageError(f"several studies ({named}) have no common leaderboard; compare them: --group-by KEY")


def _rows(top: int | None, format: str) -> int:
    """The number of rows to print at most; 0 for all of them."""
    from growlab.report.study_page import USUAL_TOP

    if top is not None:
        return top
    return USUAL_TOP if format == "table" and sys.stdout.isatty() else 0


def _print_why(name: str, storage: str, format: str, plugins: list[Path]) -> None:
    from growlab.preparation.learning import read_why
    from growlab.report.why import render_why
    from growlab.storage import Store

    with Store.open(storage) as store:
        render_why(read_why(store, store.study(name), storage, plugins, say), format, sys.stdout)


def _print_groups(studies: list[str], key: str, against: str | None, margin: float, storage: str, format: str) -> None:
    from growlab.report.group_table import render_groups
    from growlab.report.groups import read_groups
    from growlab.storage import Store

    with Store.open(storage) as store:
        rows = [store.study(name) for name in dict.fromkeys(studies)]
        render_groups(read_groups(store, rows, key, against=against, margin=margin), format, sys.stdout)


def _print_trial(name: str, number: int, storage: str, format: str) -> None:
    """Print a trial in full; in TSV and CSV what it said at each step."""
    from growlab.report.formats import write_json, write_mappings
    from growlab.report.trial_page import trial_page
    from growlab.report.trial_steps import step_columns, step_rows
    from growlab.storage import Store

    if format == "json":
        write_json(api.trial(name, number, storage=storage), sys.stdout)
        return
    with Store.open(storage) as store:
        row = store.study(name)
        if format == "table":
            trial_page(store, row, number, sys.stdout)
            return
        metrics = store.metrics(store.trial(row.id, number).id)
        write_mappings(step_columns(metrics), step_rows(metrics), format, sys.stdout)


def _print_study(
    name: str, selection: "Selection", sort_by: str, storage: str, format: str, pareto: bool, plugins: list[Path]
) -> None:
    """Print how a study stands, or only its front."""
    from growlab.preparation.fronts import no_front
    from growlab.preparation.layout_metrics import read_front
    from growlab.report.formats import render, write_json
    from growlab.report.study_mapping import study_as_mapping
    from growlab.report.study_page import print_study
    from growlab.report.study_report import read_study_report
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(name)
        front = read_front(store, row, storage, plugins, say)
        if pareto and front is None:
            raise no_front(name)
        found = read_study_report(store, row, selection, sort_by, front, front_only=pareto)
        match format:
            case "table":
                print_study(found, sys.stdout)
            case "json":
                write_json(study_as_mapping(found), sys.stdout)
            case _:
                render(found.selected.rows, format, sys.stdout, columns=found.selected.columns)
