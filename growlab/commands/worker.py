"""growlab worker"""

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import (
    MOST_THREADS,
    MOST_WORKERS,
    Artifacts,
    Deterministic,
    Devices,
    Paths,
    Patience,
    Plugin,
    Storage,
    StudyName,
    say,
)
from growlab.defaults import CHECKPOINT_EVERY_S, LEASE_S, STORAGE_DEFAULT, USUAL_PATIENCE_S
from growlab.errors import UsageError
from growlab.files import is_utf8

if TYPE_CHECKING:
    from growlab.running.slots import Slots

_LONGEST_NAME = 100  # characters, as of a study: it stands in tables and in messages


def worker(
    study: StudyName,
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    device: Devices = "auto",
    slots: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="So many trials at once on a device, each a worker with processes of its own; "
            "auto: as many as make a CUDA device do more steps per second in all, which is measured first.",
        ),
    ] = "1",
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="Leave after so many trials; one that pauses at a rung counts too.")
    ] = None,
    max_time: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Then save what is running and leave.")
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_THREADS,
            help="CPU threads of torch; 0: torch decides, with --device all or --slots an equal share of the cores.",
        ),
    ] = 0,
    lease: Annotated[
        float, typer.Option(min=2, metavar="SECONDS", help="A worker silent for so long loses its trial to another.")
    ] = LEASE_S,
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="At least so long between checkpoints; 2% of the time at most."),
    ] = CHECKPOINT_EVERY_S,
    patience: Patience = USUAL_PATIENCE_S,
    name: Annotated[str, typer.Option(help="How reports call this worker.", show_default="host and process")] = "",
    deterministic: Deterministic = False,
    set_: Paths = None,
    plugin: Plugin = None,
) -> None:
    """Train trials of a study until it is done. Any number of workers may serve one study.

    Ctrl-C or SIGTERM saves the trial and puts it back into the queue. The limits hold for each worker.
    """
    n_slots, plugins, paths = read_slots(slots), plugin or [], set_ or []
    require_name(name, is_one=device != "all" and n_slots == 1)
    if device == "all" or n_slots != 1:
        from growlab.commands.watching import follower
        from growlab.running.slot_run import serve_in_slots

        serve_in_slots(
            study,
            n_slots,
            paths=paths,
            storage=storage,
            artifacts=artifacts,
            device=device,
            threads=threads,
            max_trials=max_trials,
            max_time_s=max_time,
            lease_s=lease,
            checkpoint_every_s=checkpoint_every,
            patience_s=patience,
            deterministic=deterministic,
            plugins=plugins,
            follower=follower(),
        )
        return
    from growlab.fleet.local import PARENT
    from growlab.preparation.places import artifact_root
    from growlab.preparation.texts import with_texts_here
    from growlab.worker.display import display_for
    from growlab.worker.supervisor import WorkerOptions, serve

    options = WorkerOptions(
        storage_url=storage,
        artifacts=artifact_root(storage, artifacts),
        device=device,
        n_threads=threads,
        max_trials=max_trials,
        max_time_s=max_time,
        lease_s=lease,
        checkpoint_every_s=checkpoint_every,
        patience_s=patience,
        name=name,
        plugins=tuple(plugins),
        deterministic=deterministic,
        study_here=partial(with_texts_here, overrides=paths, storage=storage, plugins=plugins, tell=say),
        parent=int(parent) if (parent := os.environ.get(PARENT, "")).isdecimal() else None,
    )
    with display_for(sys.stderr, study) as display:
        served = serve(study, options, display)
    paused = f", {served.n_paused} paused at a rung" if served.n_paused else ""
    stopped = "; stopped when asked to" if served.stopped else ""
    say(f"{served.n_trials} trial(s) finished by this worker{paused}{stopped}")


def require_name(name: str, *, is_one: bool) -> None:
    """Raise UsageError for a name that cannot be stored, or where more than one worker would have it."""
    if not is_utf8(name):
        raise UsageError(f"--name must be UTF-8, got {name!r}")
    if len(name) > _LONGEST_NAME:
        raise UsageError(f"--name must have at most {_LONGEST_NAME} characters, got {len(name):,}")
    if name and not is_one:
        raise UsageError("--name is for one worker; those of --device all and --slots are called by host and process")


def read_slots(text: str) -> "Slots":
    """Read auto, or a number of trials. Raises UsageError for what is neither auto nor a number of trials."""
    if text == "auto":
        return "auto"
    if text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    raise UsageError(f"--slots must be a number from 1 to {MOST_WORKERS}, or auto, got {text!r}")
