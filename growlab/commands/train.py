"""growlab train: one exported configuration, again or larger."""

from pathlib import Path
from typing import Annotated

import typer

from growlab.commands.options import (
    MOST_THREADS,
    Artifacts,
    Deterministic,
    Device,
    Plugin,
    Storage,
    in_home,
    say,
    this_command,
)
from growlab.defaults import STORAGE_DEFAULT


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config.yaml that growlab export wrote.")],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the trial, such as train.lr=1e-3.")
    ] = None,
    begin_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Begin with the weights of a folder that growlab export wrote; what the layout has more is new.",
            callback=in_home,
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Read this instead of the trial's own text.", callback=in_home),
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="10x|AMOUNT", help="Scale it, or set it.")] = None,
    name: Annotated[str, typer.Option(help="Of the study that holds it.", show_default="STUDY-TRIAL-again")] = "",
    with_val: Annotated[
        bool,
        typer.Option("--with-val", help="Train on the val split too: a last training, after which nothing is chosen."),
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="CPU threads of torch; 0: all cores.")] = 0,
    deterministic: Deterministic = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Then export to this new folder.", callback=in_home)
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Train an exported configuration again: the same trial, with its seed, as a study of one.

    With --from it begins with trained weights, on its own text or, with --data, on another one. On a CPU with as many
    threads the result is the same to the last bit.
    """
    from growlab.commands.watching import follower
    from growlab.running.training_again import train_again

    trained = train_again(
        config,
        [*(set_ or []), *(["data.train_on_val=true"] if with_val else [])],
        budget,
        name=name,
        storage=storage,
        artifacts=artifacts,
        resume=resume,
        again=this_command(storage, "--resume"),
        device=device,
        threads=threads,
        deterministic=deterministic,
        output=output,
        plugins=plugin or [],
        follower=follower(),
        begin_from=begin_from,
        text=text,
    )
    seen = " (which it was trained on)" if trained.trial.spec.data.train_on_val else ""
    say(f"completed: val_loss {trained.trial.val_loss:.4f}{seen}; see {trained.report}")
