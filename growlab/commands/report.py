"""growlab report"""

import gc
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    from growlab.report.study_report import StudyReport
    from growlab.storage import Store

Studies = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY…",
        help="A study; with --group-by one or several; with --compare a study and numbers of trials, or STUDY:NUMBER.",
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
    compare: Annotated[
        bool, typer.Option("--compare", help="Trials side by side: report STUDY N M --compare, or A:3 B:7 --compare.")
    ] = False,
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
    live: Annotated[bool, typer.Option("--live", help="Redraw it until the study has ended, or Ctrl-C.")] = False,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Print how a study stands, one of its trials in full, or what a value does to the objective."""
    from growlab.report.formats import FORMATS
    from growlab.report.selection import Selection, read_columns

    chosen = "json" if as_json else format or ("table" if sys.stdout.isatty() else "tsv")
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    modes = {"--group-by": group_by, "--why": why, "--trial": trial is not None, "--compare": compare}
    selects = {"--where": where, "--sort-by": sort_by, "--columns": columns, "--top": top is not None}
    mode = _only_one(modes)
    if mode:
        _refuse(f"{mode} prints {_PRINTS[mode]}", {**selects, "--pareto": pareto, "--live": live})
    _require_sense(mode, study, compares_groups=against is not None or margin is not None)
    if live and (chosen != "table" or not sys.stdout.isatty()):
        raise UsageError("--live redraws a terminal, and this goes elsewhere; leave it out")
    plugins = plugin or []
    match mode:
        case "--group-by":
            if margin is not None and against is None:
                raise UsageError("--margin is that of a comparison; say with which value: --against VALUE")
            _print_groups(study, group_by, against, USUAL_MARGIN if margin is None else margin, storage, chosen)
        case "--why":
            _print_why(study[0], storage, chosen, plugins)
        case "--compare":
            _print_comparison(study, storage, chosen)
        case "--trial":
            assert trial is not None
            _print_trial(study[0], trial, storage, chosen)
        case _:
            selection = Selection(where=where, columns=read_columns(columns) if columns else (), top=_rows(top, chosen))
            asked = _Asked(study[0], selection, sort_by, pareto, storage, plugins)
            if live:
                _watch_study(asked)
                return
            with _no_collection():
                _print_study(asked, chosen)


_PRINTS = {
    "--group-by": "groups of trials",
    "--why": "what the whole study has learnt",
    "--trial": "one trial",
    "--compare": "trials side by side",
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


def _require_sense(mode: str, studies: list[str], *, compares_groups: bool) -> None:
    """Refuse several studies, and a comparison of groups, where the report has neither. Raises UsageError."""
    if mode != "--group-by" and compares_groups:
        raise UsageError("--against and --margin compare groups of trials; say by what: --group-by KEY")
    if mode not in ("--group-by", "--compare") and len(studies) > 1:
        raise UsageError(
            f"several studies ({', '.join(studies)}) have no common leaderboard; compare them: --group-by KEY, or "
            "trials of them: --compare"
        )


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


def _print_comparison(words: list[str], storage: str, format: str) -> None:
    from growlab.report.comparison import read_comparison, read_names
    from growlab.report.comparison_page import render_comparison
    from growlab.storage import Store

    names = read_names(words)
    with Store.open(storage) as store:
        render_comparison(read_comparison(store, names), format, sys.stdout)


@dataclass(frozen=True)
class _Asked:
    """The report of a study that is asked for, once or again and again."""

    study: str
    selection: "Selection"
    sort_by: str
    pareto: bool
    storage: str
    plugins: list[Path]

    def read(self, store: "Store") -> "StudyReport":
        from growlab.preparation.fronts import no_front
        from growlab.preparation.layout_metrics import read_front
        from growlab.report.study_report import read_study_report

        row = store.study(self.study)
        front = read_front(store, row, self.storage, self.plugins, say)
        if self.pareto and front is None:
            raise no_front(self.study)
        return read_study_report(store, row, self.selection, self.sort_by, front, front_only=self.pareto)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no waste within: what a report of ten thousand trials makes is needed to its end. It saves a tenth."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _print_study(asked: _Asked, format: str) -> None:
    """Print how a study stands, or only its front."""
    from growlab.report.formats import render, write_json_by_line
    from growlab.report.study_mapping import study_as_mapping
    from growlab.report.study_page import print_study
    from growlab.storage import Store

    with Store.open(asked.storage) as store:
        found = asked.read(store)
    match format:
        case "table":
            print_study(found, sys.stdout)
        case "json":
            write_json_by_line(study_as_mapping(found), "trials", sys.stdout)
        case _:
            render(found.selected.rows, format, sys.stdout, columns=found.selected.columns)


def _watch_study(asked: _Asked) -> None:
    """Redraw how a study stands, as many trials as the screen has room for, until it has ended."""
    from growlab.report.live_report import rows_on_screen, watch
    from growlab.report.study_page import USUAL_TOP
    from growlab.storage import Store

    if asked.selection.top == USUAL_TOP:
        n_lines = shutil.get_terminal_size().lines
        asked = replace(asked, selection=replace(asked.selection, top=rows_on_screen(n_lines)))
    with Store.open(asked.storage) as store:
        watch(lambda: asked.read(store), sys.stdout)
