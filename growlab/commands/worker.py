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
    USUAL_PATIENCE_S,
    Artifacts,
    Deterministic,
    Devices,
    Patience,
    Plugin,
    Storage,
    StudyName,
    artifact_root,
    place,
    say,
)
from growlab.commands.texts import Paths, with_found_texts, with_paths
from growlab.errors import UsageError
from growlab.files import is_utf8
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


def read_slots(words: str) -> Slots:
    """Raises UsageError for what is neither auto nor a number of trials."""
    if words == "auto":
        return "auto"
    if words.isdecimal() and len(words) < 10 and 1 <= int(words) <= MOST_WORKERS:
        return int(words)
    raise UsageError(f"--slots must be a number from 1 to {MOST_WORKERS}, or auto, got {words!r}")


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
    from growlab.commands.working import devices_for, patient_watcher, slots_for, stops_interrupt, work
    from growlab.storage import Store

    devices = devices_for(device, 1)
    patience = patient_watcher(options["--patience"] or 0.0)
    with Store.open(storage, patience=patience) as store, contextlib.suppress(KeyboardInterrupt):
        row = store.study(study)
        row = replace(row, study=_study_here(paths, storage, plugins, row.study))
        stops_interrupt()
        how: Any = {"threads": threads, "plugins": plugins, "deterministic": deterministic}
        n = slots_for(store, row, devices, **how) if slots == "auto" else slots
        texts = [word for path in paths for word in ("--set", path)]
        how_again = [*_where_and_how(device, slots, threads, deterministic), *texts]
        again = [*how_again, *place(storage, plugins, artifacts)]
        work(
            store,
            row,
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=[each for each in devices for _ in range(n)],
            options=options,
            again=command("worker", study, options=again),
            **how,
        )


def _study_here(paths: Sequence[str], storage: str, plugins: Sequence[Path], stored: "Study") -> "Study":
    """With the paths at which its texts lie on this machine."""
    return with_found_texts(with_paths(stored, paths), storage, plugins)


def _where_and_how(device: str, slots: Slots, threads: int, deterministic: bool) -> list[str]:
    """The options that a trial's place and bits depend on, unless they are the usual ones."""
    words = {"--device": device != "auto" and device, "--slots": slots != 1 and slots, "--threads": threads}
    how = [word for name, value in words.items() if value for word in (name, str(value))]
    return [*how, *(["--deterministic"] if deterministic else [])]
