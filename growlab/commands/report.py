"""growlab report"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.completion import stored_studies
from growlab.commands.options import Json, Plugin, Storage, say
from growlab.defaults import STORAGE_DEFAULT, USUAL_MARGIN

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
    sort_by: Annotated[str, typer.Option(metavar="METRIC", help="A numeric column; the lowest comes first.")] = "",
    trial: Annotated[int | None, typer.Option(min=0, help="One trial in full instead of the leaderboard.")] = None,
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
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE", help="Write all of it as one page that needs no network.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --html: replace a file that is there.")] = False,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Print the leaderboard of a study, one of its trials in full, or what a value does to the objective."""
    from growlab.errors import UnknownName, UsageError
    from growlab.report.formats import FORMATS

    chosen = "json" if as_json else format or ("table" if sys.stdout.isatty() else "tsv")
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    if html is not None or force:
        others = (group_by, why, pareto, trial is not None, sort_by, as_json, format, against is not None, margin)
        _write_page(html, study, storage, plugin or [], force=force, asks_more=any(others))
        return
    if why and group_by:
        raise UsageError("--why and --group-by are two reports; ask for one of them")
    if group_by:
        if trial is not None or sort_by or pareto:
            raise UsageError("--group-by prints groups of trials; leave --trial, --sort-by and --pareto out")
        if margin is not None and against is None:
            raise UsageError("--margin is that of a comparison; say with which value: --against VALUE")
        _print_groups(study, group_by, against, USUAL_MARGIN if margin is None else margin, storage, chosen)
        return
    _refuse_comparing(against, margin, study)
    if why:
        if trial is not None or sort_by or pareto:
            raise UsageError("--why prints what the whole study has learnt; leave --trial, --sort-by and --pareto out")
        _print_why(study[0], storage, "json" if as_json else format or "table", plugin or [])
        return
    _print_study(study[0], trial, sort_by, storage, chosen, pareto, plugin or [])


def _write_page(
    html: Path | None, studies: list[str], storage: str, plugins: list[Path], *, force: bool, asks_more: bool
) -> None:
    """Write the page of one study. Raises UsageError where other reports are asked for with it."""
    from growlab.errors import UsageError

    if html is None:
        raise UsageError("--force replaces the file of --html FILE; name one, or leave --force out")
    if asks_more or len(studies) > 1:
        raise UsageError("--html writes all of one study; leave other options, and other studies, out")
    api.write_html(studies[0], html, force=force, storage=storage, plugins=plugins, tell=say)


def _refuse_comparing(against: str | None, margin: float | None, studies: list[str]) -> None:
    from growlab.errors import UsageError

    if against is not None or margin is not None:
        raise UsageError("--against and --margin compare groups of trials; say by what: --group-by KEY")
    if len(studies) > 1:
        named = ", ".join(studies)
        raise UsageError(f"several studies ({named}) have no common leaderboard; compare them: --group-by KEY")


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


def _print_study(
    name: str, trial: int | None, sort_by: str, storage: str, format: str, pareto: bool, plugins: list[Path]
) -> None:
    """Print the leaderboard, or only its front, or one trial in full."""
    from growlab.errors import UsageError
    from growlab.preparation.fronts import no_front
    from growlab.preparation.layout_metrics import read_front
    from growlab.report.formats import render, write_json
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.title import read_title
    from growlab.report.trial_page import trial_page
    from growlab.storage import Store

    if pareto and trial is not None:
        raise UsageError("--pareto prints several trials, --trial one; ask for one of them")
    if trial is not None and format == "json":
        write_json(api.trial(name, trial, storage=storage), sys.stdout)
        return
    with Store.open(storage) as store:
        row = store.study(name)
        if trial is not None:
            trial_page(store, row, trial, sys.stdout)
            return
        front = read_front(store, row, storage, plugins, say)
        if pareto and front is None:
            raise no_front(name)
        rows = read_leaderboard(store, row.id, sort_by or row.study.objective.metric, front)
        shown = [ranked for ranked in rows if ranked.front] if pareto else rows
        render(shown, format, sys.stdout, title=read_title(store, row), front=front)
