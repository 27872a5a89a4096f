"""growlab init: a first study of a text of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Device, in_home, say
from growlab.defaults import FIRST_STUDY_MINUTES
from growlab.suggest import command


def init(
    text: Annotated[
        Path, typer.Argument(metavar="TEXT", help="A text file, or a folder of .txt files.", callback=in_home)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The study file.", callback=in_home, show_default="NAME.yaml, here"
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the study.", show_default="that of the text")] = "",
    minutes: Annotated[
        float, typer.Option(min=0.5, help="About how long the study may run here.")
    ] = FIRST_STUDY_MINUTES,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the study file.")] = False,
) -> None:
    """Look at a text and at this machine, and write a study of the one that runs on the other in ten minutes.

    The study file is commented and meant to be edited. What is found is said: size, language, lines, copies, and how
    fast a few steps of training go.
    """
    made = api.init(text, output, minutes=minutes, device=device, name=name, force=force, tell=say)
    say(f"wrote {made.path}; look at its trials: {command('study preview', made.path)}")
    say(f"run it: {made.run}")
