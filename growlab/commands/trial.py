"""growlab trial: add."""

import json
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Json, Plugin, Storage, StudyName, say
from growlab.defaults import STORAGE_DEFAULT
from growlab.preparation.adding import read_settings
from growlab.preparation.command_lines import place_options
from growlab.suggest import command

app = typer.Typer(help="Trials: those that a person wants.", no_args_is_help=True)


@app.callback()
def trial() -> None:
    """Trials: those that a person wants."""


@app.command()
def add(
    study: StudyName,
    layout: Annotated[str, typer.Option(metavar="LAYOUT", help="Such as 'd=192 (attn mlp)x3'.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Of a searched scalar, such as train.lr=1e-3; others are drawn."
        ),
    ] = None,
    storage: Storage = STORAGE_DEFAULT,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Put a trial of your own into the queue of a study, any number of them; the search learns from it.

    It takes the place of a trial that would be proposed; where there is none left the study gets one trial more.
    """
    plugins = plugin or []
    number = api.add_trial(study, layout, read_settings(set_ or []), storage=storage, plugins=plugins, tell=say)
    if as_json:
        print(json.dumps({"name": study, "trial": number}, indent=2))
    say(f"train it with: {command('worker', study, options=place_options(storage, plugins))}")
