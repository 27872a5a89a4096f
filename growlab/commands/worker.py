"""growlab worker"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from growlab.commands.options import (
    MOST_THREADS,
    MOST_WORKERS,
    STORAGE_DEFAULT,
    Artifacts,
    Deterministic,
    Devices,
    Paths,
    Patience,
    Plugin,
    Storage,
    StudyName,
    say,
    unusual,
)
from growlab.defaults import USUAL_PATIENCE_S
from growlab.errors import UsageError
from growlab.files import is_utf8
from growlab.preparation.command_lines import place_options
from growlab.preparation.places import artifact_root
from growlab.preparation.texts import with_found_texts, with_paths
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.study import Study

Slots = int | Literal["auto"]
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
    max_trials: Annotated[int | None, typer.Option(min=1, help="Leave after so many trials.")] = None,
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
    ] = 60.0,
    checkpoint_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="At least so long between checkpoints; 2% of the time at most."),
    ] = 5.0,
    patience: Patience = USUAL_PATIENCE_S,
    name: Annotated[str, typer.Option(help="How reports call this worker.", show_default="host and process")] = "",
    deterministic: Deterministic = False,
    set_: Paths = None,
    plugin: Plugin = None,
) -> None:
    """Train trials of a study until it is done. Any number of workers may serve one study.

    Ctrl-C or SIGTERM saves the trial and puts it back into the queue. The limits hold for each worker.
    """
    n_slots, plugins = read_slots(slots), plugin or []
    if not is_utf8(name):
        raise UsageError(f"--name must be UTF-8, got {name!r}")
    if len(name) > _LONGEST_NAME:
        raise UsageError(f"--name must have at most {_LONGEST_NAME} characters, got {len(name):,}")
    if device == "all" or n_slots != 1:
        if name:
            raise UsageError(
                "--name is for one worker; those of --device all and --slots are called by host and process"
            )
        options = {
            "--lease": lease,
            "--checkpoint-every": checkpoint_every,
            "--patience": patience,
            "--max-trials": max_trials,
            "--max-time": max_time,
        }
        _several(study, storage, artifacts, device, n_slots, options, threads, plugins, deterministic, set_ or [])
        return
    from growlab.fleet.local import PARENT
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
        patience_s=patience,
        name=name,
        plugins=tuple(plugins),
        deterministic=deterministic,
        study_here=partial(_study_here, set_ or [], storage, plugins),
        parent=int(parent) if (parent := os.environ.get(PARENT, "")).isdecimal() else None,
    )
    with display_for(sys.stderr, study) as display:
        served = serve(study, setup, display)
    say(f"{served.n_trials} trial(s) finished by this worker" + ("; stopped when asked to" if served.stopped else ""))


def read_slots(text: str) -> Slots:
    """Raises UsageError for what is neither auto nor a number of trials."""
    if text == "auto":
        return "auto"
    if text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MOST_WORKERS:
        return int(text)
    raise UsageError(f"--slots must be a number from 1 to {MOST_WORKERS}, or auto, got {text!r}")


def _several(
    study: str,
    storage: str,
    artifacts: Path | None,
    device: str,
    slots: Slots,
    options: Mapping[str, float | None],
    threads: int,
    plugins: Sequence[Path],
    deterministic: bool,
    paths: Sequence[str],
) -> None:
    """`slots` workers on a device, or on each GPU, watched to their end. Being asked to stop is no failure."""
    from growlab.commands.watching import interrupt_on_stop, work
    from growlab.running.crew import Crew
    from growlab.running.devices import devices_for
    from growlab.running.patience import telling_patience
    from growlab.running.slots import slots_for
    from growlab.storage import Store

    devices = devices_for(device, 1)
    patience = telling_patience(options["--patience"] or 0.0, say)
    with Store.open(storage, patience=patience) as store, contextlib.suppress(KeyboardInterrupt):
        row = store.study(study)
        row = replace(row, study=_study_here(paths, storage, plugins, row.study))
        interrupt_on_stop()
        how: Any = {"threads": threads, "plugins": plugins, "deterministic": deterministic}
        n = slots_for(store, row, devices, tell=say, **how) if slots == "auto" else slots
        usual = {"--device": device != "auto" and device, "--slots": slots != 1 and slots, "--threads": threads}
        texts = [word for path in paths for word in ("--set", path)]
        again = [*unusual(usual, deterministic), *texts, *place_options(storage, plugins, artifacts)]
        crew = Crew(
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=[name for name in devices for _ in range(n)],
            options=options,
            **how,
        )
        work(store, row, crew, again=command("worker", study, options=again))


def _study_here(paths: Sequence[str], storage: str, plugins: Sequence[Path], stored: "Study") -> "Study":
    """With the paths at which its texts lie on this machine."""
    return with_found_texts(with_paths(stored, paths), storage, plugins, say)
