"""growlab export, growlab generate"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import (
    STORAGE_DEFAULT,
    Artifacts,
    Device,
    HardExit,
    Plugin,
    RepetitionPenalty,
    Seed,
    Stop,
    Storage,
    StudyName,
    Temperature,
    TopK,
    TopP,
    artifact_root,
    in_home,
    say,
    show,
)
from growlab.errors import UsageError
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.study import Study


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
    from growlab.export.bundle import export_trial
    from growlab.export.configs import best_configs, render_configs
    from growlab.storage import Store

    if bool(output) == bool(format):
        raise UsageError("say where to: -o DIR for config and weights, or --format yaml|json for configs on stdout")
    if format not in ("", "yaml", "json"):
        raise UsageError(f"--format must be yaml or json, got {format!r}")
    with Store.open(storage) as store:
        row = store.study(study)
        if output is None:
            print(render_configs(best_configs(store, row, top), format), end="")
            return
        export_trial(store, row, trial, artifact_root(storage, artifacts), output)
    say(f"wrote {output}; try: {command(speaks(row.study), output)}")


def speaks(study: "Study") -> str:
    """The command that lets a model of this study speak: chat, where it was trained on questions, else generate."""
    return "chat" if study.data.source == "qa" else "generate"


def generate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that growlab export wrote.")],
    prompt: Annotated[str, typer.Option(help="The text to go on from.")] = "",
    length: Annotated[int, typer.Option(min=1, help="Tokens to add.")] = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    stop: Stop = None,
    seed: Seed = 0,
    hard_exit: HardExit = False,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Let an exported model go on from a prompt."""
    from growlab.export.load import as_prompt, generate_text, load_bundle
    from growlab.model.decoding import Sampling
    from growlab.plugins import load_plugins
    from growlab.training.device import use_device

    load_plugins(plugin or [])
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
    bundle = load_bundle(folder, use_device(device))
    if hard_exit:
        bundle.model.exit_hard()
    pieces = generate_text(bundle, prompt, length, sampling, seed, stop or [])  # refuses a prompt before it is echoed
    show(as_prompt(bundle, prompt))
    for piece in pieces:
        show(piece)
    show("\n")
