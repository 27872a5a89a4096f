"""growlab export"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab import api
from growlab.commands.options import Artifacts, Plugin, Storage, StudyName, in_home, say
from growlab.defaults import STORAGE_DEFAULT
from growlab.errors import UsageError
from growlab.preparation.command_lines import speaking_command
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.study import Study


def export(
    study: StudyName,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Where to: the same as -o.", callback=in_home, show_default=False),
    ] = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="growlab; hf: for Hugging Face's transformers; onnx or torch-export: as one program.",
        ),
    ] = "growlab",
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder for the model.", callback=in_home)
    ] = None,
    trial: Annotated[int | None, typer.Option(min=0, help="Default: the best one.", show_default=False)] = None,
    pareto: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A new folder for every trial of the front, each in trial-N.",
            callback=in_home,
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    format: Annotated[str, typer.Option(metavar="yaml|json", help="Print configs alone.", show_default=False)] = "",
    top: Annotated[int, typer.Option(min=1, help="With --format: how many of the best.")] = 1,
    plugin: Plugin = None,
) -> None:
    """Write a trial's config, weights, tokeniser, metrics and model card into a folder, or print the best configs.

    With --pareto so do all trials that no other one is better than in all objectives of the study.
    """
    from growlab.export.configs import best_configs, render_configs
    from growlab.storage import Store

    output = _one_place(output, folder)
    if pareto is not None:
        if output or format or trial is not None:
            raise UsageError("--pareto exports the whole front; leave FOLDER, --output, --trial and --format out")
        folders = api.export_front(
            study, pareto, to=to, force=force, storage=storage, artifacts=artifacts, plugins=plugin or [], tell=say
        )
        say(f"wrote {len(folders)} trial(s) of the front: {', '.join(map(str, folders))}")
        return
    if bool(output) == bool(format):
        raise UsageError(
            "say where to: -o DIR for config and weights, --pareto DIR for those of a front, or --format yaml|json for "
            "configs on stdout"
        )
    if format not in ("", "yaml", "json"):
        raise UsageError(f"--format must be yaml or json, got {format!r}")
    if output is None:
        with Store.open(storage) as store:
            print(render_configs(best_configs(store, store.study(study), top), format), end="")
        return
    exported = api.export(
        study, output, trial=trial, to=to, force=force, storage=storage, artifacts=artifacts, plugins=plugin or []
    )
    say(f"wrote {output}; {_next_step(to, output, exported)}")


def _one_place(output: Path | None, folder: Path | None) -> Path | None:
    if output and folder:
        raise UsageError(f"say where to once: {folder} or -o {output}")
    return output or folder


def _next_step(to: str, output: Path, study: "Study") -> str:
    if to == "growlab":
        return f"try: {command(speaking_command(study), output)}"
    from growlab.export.contents import CARD  # imports PyYAML

    return f"its {CARD} says how transformers loads it" if to == "hf" else f"its {CARD} says how it is run"
