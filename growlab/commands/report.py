"""growlab report"""

import sys
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Json, Storage, StudyName
from growlab.defaults import STORAGE_DEFAULT


def report(
    study: StudyName,
    storage: Storage = STORAGE_DEFAULT,
    format: Annotated[
        str, typer.Option(metavar="table|tsv|csv|json", show_default="table on a terminal, tsv in a pipe")
    ] = "",
    sort_by: Annotated[str, typer.Option(metavar="METRIC", help="A numeric column; the lowest comes first.")] = "",
    trial: Annotated[int | None, typer.Option(min=0, help="One trial in full instead of the leaderboard.")] = None,
    as_json: Json = False,
) -> None:
    """Print the leaderboard of a study, or one of its trials in full."""
    from growlab.errors import UnknownName
    from growlab.report.formats import FORMATS, render, write_json
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.title import read_title
    from growlab.report.trial_page import trial_page
    from growlab.storage import Store

    chosen = "json" if as_json else format or ("table" if sys.stdout.isatty() else "tsv")
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    if trial is not None and chosen == "json":
        write_json(api.trial(study, trial, storage=storage), sys.stdout)
        return
    with Store.open(storage) as store:
        row = store.study(study)
        if trial is None:
            objective = row.study.objective.metric
            rows = read_leaderboard(store, row.id, sort_by or objective)
            render(rows, chosen, sys.stdout, title=read_title(store, row))
        else:
            trial_page(store, row, trial, sys.stdout)
