"""growlab ablate"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from growlab.commands.options import (
    MOST_THREADS,
    MOST_WORKERS,
    Artifacts,
    Deterministic,
    Devices,
    Json,
    Patience,
    Plugin,
    Set,
    Storage,
    say,
)
from growlab.defaults import LOCAL_LEASE_S, STORAGE_DEFAULT, USUAL_PATIENCE_S
from growlab.errors import UsageError


def ablate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A YAML file with arms, or a shipped ablation.", show_default=False)
    ],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="What would be trained, with FLOPs and hours.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read", help="How far it is, or its verdicts; nothing is trained.")
    ] = False,
    as_rows: Annotated[bool, typer.Option("--rows", help="A line of TSV for each training.")] = False,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes on this machine; with --device all: per GPU.")
    ] = 1,
    device: Devices = "auto",
    threads: Annotated[
        int, typer.Option(min=0, max=MOST_THREADS, help="CPU threads of torch, for each worker; 0: an equal share.")
    ] = 0,
    lease: Annotated[float, typer.Option(min=2, metavar="SECONDS", help="See growlab worker --help.")] = LOCAL_LEASE_S,
    patience: Patience = USUAL_PATIENCE_S,
    deterministic: Deterministic = False,
    name: Annotated[str, typer.Option("--name", help="Instead of the name in the file.", show_default=False)] = "",
    set_: Set = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Compare arms, such as ways to grow, that are tuned alike and repeated on fresh seeds; and say what can be said.

    Better, worse, equal within the margin, or cannot tell and how many repeats would. Stopped, it goes on.
    """
    if dry_run and read_only:
        raise UsageError(
            "--dry-run shows what would be trained and --read what has been; leave out --read, or --dry-run"
        )
    from growlab.ablate.plan_table import print_plan
    from growlab.ablate.table import ended_text, print_json, print_table, print_trainings, print_tsv
    from growlab.bench.estimate import seconds_of
    from growlab.commands.watching import follower
    from growlab.preparation.command_lines import unusual_options
    from growlab.running.ablation import read_ablation_result, read_and_prepare, run_ablation
    from growlab.running.study_run import Workers
    from growlab.suggest import command

    plugins, overrides = plugin or [], set_ or []
    prepared = read_and_prepare(file, overrides, name, plugins, say)
    if dry_run:
        planned = prepared.planned()
        print_plan(planned, seconds_of(planned, prepared.corpus), sys.stdout)
        return
    if read_only:
        result = read_ablation_result(prepared, storage=storage)
    else:
        asked = Workers(
            storage=storage,
            artifacts=artifacts,
            workers=workers,
            device=device,
            threads=threads,
            lease_s=lease,
            patience_s=patience,
            deterministic=deterministic,
            plugins=plugins,
        )
        changed = [part for override in overrides for part in ("--set", override)]
        unusual = {"--name": name, "--workers": workers != 1 and workers, "--device": device != "auto" and device}
        options = [*changed, *unusual_options({**unusual, "--threads": threads}, deterministic), *asked.places]
        again = command("ablate", str(file), options=options)
        result = run_ablation(prepared, workers=asked, again=again, follower=follower())
    if result.n_ended < result.n_cells and not sys.stdout.isatty():
        say(ended_text(result))
    if as_rows:
        print_trainings(result, sys.stdout)
    elif as_json:
        print_json(result, sys.stdout)
    elif sys.stdout.isatty():
        print_table(result, sys.stdout)
    else:
        print_tsv(result, sys.stdout)
