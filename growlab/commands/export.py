"""growlab export"""

from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Artifacts, Storage, StudyName, in_home, say
from growlab.defaults import STORAGE_DEFAULT
from growlab.errors import UsageError
from growlab.preparation.command_lines import speaking_command
from growlab.suggest import command


def export(
    study: StudyName,
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder for the model.", callback=in_home)
    ] = None,
    trial: Annotated[int | None, typer.Option(min=0, help="Default: the best one.", show_default=False)] = None,
    format: Annotated[str, typer.Option(metavar="yaml|json", help="Print configs alone.", show_default=False)] = "",
    top: Annotated[int, typer.Option(min=1, help="With --format: how many of the best.")] = 1,
) -> None:
    """Write a trial's config, weights, tokeniser and metrics into a folder, or print the best configs."""
    from growlab.export.configs import best_configs, render_configs
    from growlab.storage import Store

    if bool(output) == bool(format):
        raise UsageError("say where to: -o DIR for config and weights, or --format yaml|json for configs on stdout")
    if format not in ("", "yaml", "json"):
        raise UsageError(f"--format must be yaml or json, got {format!r}")
    if output is None:
        with Store.open(storage) as store:
            print(render_configs(best_configs(store, store.study(study), top), format), end="")
        return
    exported = api.export(study, output, trial=trial, storage=storage, artifacts=artifacts)
    say(f"wrote {output}; try: {command(speaking_command(exported), output)}")
