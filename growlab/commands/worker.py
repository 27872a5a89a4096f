"""growlab worker"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from growlab.commands.options import (
    STORAGE_DEFAULT,
    Artifacts,
    Devices,
    Plugin,
    Storage,
    artifact_root,
    say,
    with_shell_hint,
)
from growlab.errors import UsageError


def worker(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The name of a study.")],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    device: Devices = "auto",
    max_trials: Annotated[int | None, typer.Option(min=1, help="Leave after so many trials.")] = None,
    max_time: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Then save what is running and leave.")
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=0, help="CPU threads of torch; 0: torch decides, with --device all an equal share of the cores."
        ),
    ] = 0,
    lease: Annotated[
        float, typer.Option(min=2, metavar="SECONDS", help="A worker silent for so long loses its trial to another.")
    ] = 60.0,
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="At least so long between checkpoints; 2% of the time at most."),
    ] = 5.0,
    name: Annotated[str, typer.Option(help="How reports call this worker.", show_default="host and process")] = "",
    plugin: Plugin = None,
) -> None:
    """Train trials of a study until it is done. Any number of workers may serve one study.

    Ctrl-C or SIGTERM saves the trial and puts it back into the queue. The limits hold for each worker.
    """
    if device == "all":
        if name:
            raise UsageError("--name is for one worker; those of --device all are called by host and process")
        options = {
            "--lease": lease,
            "--checkpoint-every": checkpoint_every,
            "--max-trials": max_trials,
            "--max-time": max_time,
        }
        _one_per_gpu(study, storage, artifacts, options, threads, plugin or [])
        return
    from growlab.worker.display import display_for
    from growlab.worker.supervisor import WorkerOptions, serve

    setup = WorkerOptions(
        storage_url=storage,
        artifacts=artifact_root(storage, artifacts),
        device=device,
        n_threads=threads,
        max_trials=max_trials,
        max_time_s=max_time,
        lease_s=lease,
        checkpoint_every_s=checkpoint_every,
        name=name,
        plugins=tuple(plugin or ()),
    )
    with display_for(sys.stderr, study) as display:
        served = serve(study, setup, display)
    say(f"{served.n_trials} trial(s) finished by this worker" + ("; stopped when asked to" if served.stopped else ""))


def _one_per_gpu(
    study: str,
    storage: str,
    artifacts: Path | None,
    options: Mapping[str, float | None],
    threads: int,
    plugins: Sequence[Path],
) -> None:
    """A worker on each GPU, watched to their end. Being asked to stop is no failure."""
    from growlab.commands.working import devices_for, work
    from growlab.storage import Store

    devices = devices_for("all", 1)
    with Store.open(storage) as store:
        row = store.study(study)
        with contextlib.suppress(KeyboardInterrupt):
            work(
                store,
                row,
                storage=storage,
                artifacts=artifact_root(storage, artifacts),
                devices=devices,
                options=options,
                threads=threads,
                plugins=plugins,
                again=f"growlab worker {study} --device all{with_shell_hint(storage, plugins, artifacts)}",
            )
