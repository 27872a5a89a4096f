"""growlab study: create, list, show, set, import, delete, run, confirm, replay, preview, space, simulate, export-table,
keys.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.completion import any_study, shipped, stored_studies
from growlab.commands.options import (
    MOST_THREADS,
    MOST_WORKERS,
    Artifacts,
    Deterministic,
    Devices,
    Json,
    Paths,
    Patience,
    Plugin,
    Set,
    Storage,
    StudyName,
    in_home,
    say,
)
from growlab.defaults import CHECKPOINT_EVERY_S, LEASE_S, LOCAL_LEASE_S, STORAGE_DEFAULT, USUAL_PATIENCE_S
from growlab.errors import GrowlabError
from growlab.escapes import visible
from growlab.preparation.command_lines import place_options
from growlab.report.terminal import print_wrapped
from growlab.suggest import command

_MOST_DEVIATIONS = 5  # that are shown whole
_INDENT = 4  # of the lines about a key
_OF_N_TRIALS = ("n_trials=", "budget.study.trials=")

app = typer.Typer(help="Studies: what to search, on which data, for how long.", no_args_is_help=True)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="A YAML file, or the name of a study that growlab ships.", autocompletion=shipped
    ),
]
NWorkers = Annotated[
    int,
    typer.Option("--workers", min=1, max=MOST_WORKERS, help="Processes on this machine; with --device all: per GPU."),
]
Threads = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_THREADS,
        help="CPU threads of torch, for each worker; 0: OMP_NUM_THREADS, else an equal share of the cores.",
    ),
]
Lease = Annotated[float, typer.Option("--lease", min=2, metavar="SECONDS", help="See growlab worker --help.")]
NewName = Annotated[str, typer.Option("--name", help="Instead of the name in the file.", show_default=False)]


@app.command()
def create(
    file: File,
    start_from: Annotated[
        str,
        typer.Option(
            metavar="STUDY",
            help="Begin with the best trials of this study: their layouts, and their values of what is searched here.",
            autocompletion=stored_studies,
            show_default=False,
        ),
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="With --start-from: how many of them.")] = 3,
    storage: Storage = STORAGE_DEFAULT,
    name: NewName = "",
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Check a study file and put the study into the database, which is made if there is none."""
    plugins = plugin or []
    study = api.create(
        api.read_study(file, set_ or [], name, plugins=plugins),
        start_from=start_from,
        top=top,
        storage=storage,
        plugins=plugins,
        tell=say,
    )
    say(f"start workers with: {command('worker', study.name, options=place_options(storage, plugins))}")


@app.command("list")
def list_(storage: Storage = STORAGE_DEFAULT, as_json: Json = False) -> None:
    """List the studies."""
    rows = api.studies(storage=storage)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        say(f"no studies yet; create one: {command('study create', 'FILE', options=place_options(storage))}")
    for row in rows:
        done = ", ".join(f"{n} {state}" for state, n in row["counts"].items() if n) or "not begun"
        best = "" if row["best_val_loss"] is None else f", best val_loss {row['best_val_loss']:.4f}"
        over = f"; over: {row['over']}" if row["over"] else ""
        print(visible(f"{row['name']}\t{row['n_trials']} trials: {done}{best}{over}"))


@app.command()
def show(study: StudyName, storage: Storage = STORAGE_DEFAULT, as_json: Json = False) -> None:
    """Print a study as it was stored, every default written out."""
    from growlab.storage import Store
    from growlab.study.column import study_to_mapping
    from growlab.yaml_file import yaml_text

    with Store.open(storage) as store:
        mapping = study_to_mapping(store.study(study).study)
    mapping["sampler"].pop("transferred", None)  # hundreds of trials, which no file can say
    if as_json:
        print(json.dumps(mapping, indent=2))
    else:
        print(yaml_text(mapping), end="")


@app.command("set")
def set_(
    study: StudyName,
    change: Annotated[
        str,
        typer.Argument(
            metavar="n_trials=N",
            help="What can be changed; also budget.study.UNIT=X, stop_when.LOSS=X ('' for none), "
            "objectives=[METRIC, …], constraints.METRIC.at_most=X.",
        ),
    ],
    storage: Storage = STORAGE_DEFAULT,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Change how many trials a study has, when it is over, or what trials are judged by, finished or not.

    Its trials stay, and nothing is trained again; workers notice. A search goes on as if it had been meant so from the
    beginning: a proposal depends on what has finished before it, not on how many are to come. After the last cell of a
    grid it draws layouts and values.
    """
    from growlab.preparation.confirming import refuse_more_trials
    from growlab.preparation.remaining import n_unfinished
    from growlab.preparation.storing import changed, changes_between, unmeasured
    from growlab.records import n_ended
    from growlab.report.title import read_over
    from growlab.storage import Store
    from growlab.study.objectives_section import write_judging

    with Store.open(storage) as store:
        row = store.study(study)
        refuse_more_trials(store, row)
        new = changed(row.study, change, plugin or [])
        store.change_study(study, changes_between(row.study, new))
        n_done, over, n_left, notes = (
            n_ended(store.counts(row.id)),
            read_over(store, store.study(study)),
            n_unfinished(store, row),
            unmeasured(store, store.study(study)),
        )
    if as_json:
        limits = {"budget": dict(new.limits.budget), "stop_when": dict(new.limits.stop_when)}
        judging = {} if new.judged == row.study.judged else write_judging(new.objectives, new.constraints)
        print(json.dumps({"name": study, "n_trials": new.n_trials, **limits, **judging}, indent=2))
    n_trials = f"n_trials {row.study.n_trials} → {new.n_trials}"
    say(f"study {study!r}: {n_trials if change.startswith(_OF_N_TRIALS) else change}, {n_done} done")
    for note in notes:
        say(note)
    if over:
        say(f"the study is over: {over}")
    if n_left:
        say(f"go on with: {command('study run', study, options=place_options(storage, plugin or []))}")


@app.command("import")
def import_(
    study: StudyName,
    results: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV or TSV with the columns layout, searched scalars such as train.lr, and val_loss."
        ),
    ],
    storage: Storage = STORAGE_DEFAULT,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Add results from elsewhere as trials that are over: the search learns from them, and nothing is trained.

    What growlab report STUDY --format csv printed of another study is such a file. The losses must mean the same here:
    of the same text, budget and settings.
    """
    numbers = api.import_results(study, results, storage=storage, plugins=plugin or [], tell=say)
    if as_json:
        print(json.dumps({"name": study, "trials": numbers}, indent=2))


@app.command()
def delete(
    study: StudyName,
    storage: Storage = STORAGE_DEFAULT,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study with its trials and results. Files of its trials stay; their folder is named."""
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        n = sum(store.counts(row.id).values())
        if not yes and not typer.confirm(f"delete study {study!r} with {n} trial(s)?", err=True):
            raise GrowlabError("nothing was deleted")
        store.delete_study(study)
    say(f"deleted study {study!r}; its files were in {row.study.name}-{row.id} below the artifact folder")


@app.command()
def run(
    study: Annotated[
        str,
        typer.Argument(
            metavar="FILE|STUDY", help="A YAML file, a shipped study or a study's name.", autocompletion=any_study
        ),
    ],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    workers: NWorkers = 1,
    device: Devices = "auto",
    threads: Threads = 0,
    lease: Lease = LOCAL_LEASE_S,
    patience: Patience = USUAL_PATIENCE_S,
    deterministic: Deterministic = False,
    name: NewName = "",
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Create the study if it is new, start workers and show the leaderboard while they work; go on after a stop."""
    from growlab.commands.watching import follower, show_standing
    from growlab.running.study_run import Workers, run_study

    asked = Workers(
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        threads=threads,
        lease_s=lease,
        patience_s=patience,
        deterministic=deterministic,
        plugins=plugin or [],
    )
    standing = run_study(study, set_ or [], name, workers=asked, follower=follower())
    show_standing(standing)
    standing.require_finished()


@app.command()
def confirm(
    study: StudyName,
    top: Annotated[int, typer.Option(min=1, help="How many of the best trials.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Fresh seeds for each of them.")] = 4,
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    workers: NWorkers = 1,
    device: Devices = "auto",
    threads: Threads = 0,
    lease: Lease = LOCAL_LEASE_S,
    patience: Patience = USUAL_PATIENCE_S,
    deterministic: Deterministic = False,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Train the best trials again on fresh seeds, as STUDY-confirm, and rank them by the mean; go on after a stop.

    The best of a search were good and lucky: beside each mean stands what the search had claimed.
    """
    from growlab.commands.watching import follower
    from growlab.report.confirmation import render_confirmation
    from growlab.running.confirm_run import confirm_study
    from growlab.running.study_run import Workers

    asked = Workers(
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        threads=threads,
        lease_s=lease,
        patience_s=patience,
        deterministic=deterministic,
        plugins=plugin or [],
    )
    confirmation = confirm_study(study, top=top, seeds=seeds, workers=asked, follower=follower())
    render_confirmation(confirmation, "json" if as_json else "table" if sys.stdout.isatty() else "tsv", sys.stdout)
    for line in confirmation.lines:
        say(line)


@app.command()
def replay(
    study: StudyName,
    storage: Storage = STORAGE_DEFAULT,
    set_: Paths = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Make every proposal again, each from the trials that it had seen, and compare it with what is stored.

    However many workers there were and in whatever order trials ended, each comes out as it was, byte for byte, and so
    does each promotion from a rung. What does not is printed, and the exit status is 1: a plugin was edited, or another
    growlab or Optuna is installed here.
    """
    found = api.replay(study, storage=storage, paths=set_ or [], plugins=plugin or [], tell=say)
    if as_json:
        print(json.dumps(asdict(found), indent=2))
    else:
        print(visible(found.summary))
        for deviation in found.deviations[:_MOST_DEVIATIONS]:
            print(visible(deviation.line))
    if found.deviations:
        numbers = ", ".join(str(deviation.trial) for deviation in found.deviations)
        what = "decision(s)" if found.n_promotions else "proposal(s)"
        raise GrowlabError(f"{len(found.deviations)} {what} came out otherwise, of trials {numbers}")


@app.command()
def preview(
    file: File,
    set_: Set = None,
    n: Annotated[
        int | None, typer.Option("-n", min=1, help="How many.", show_default="the study's trials, at most 10")
    ] = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Sample trials as the study would, with parameters, FLOPs, memory and time, before anything is spent.

    Of a study with sampler grid only its cells are shown. In a pipe a line of TSV for each.
    """
    from growlab.bench.estimate import estimate, first_trials, in_words, print_table, print_tsv
    from growlab.bench.growth_notes import growth_notes
    from growlab.preparation.checking import prepare

    study, corpus = prepare(api.read_study(file, set_ or [], plugins=plugin or []), plugin or [], say)
    trials = first_trials(study, corpus, n)
    rows = estimate(trials, corpus)
    if as_json:
        print(json.dumps([row.as_mapping() for row in rows], indent=2))
        return
    (print_table if sys.stdout.isatty() else print_tsv)(rows, sys.stdout)
    for line in [*in_words(rows, study), *growth_notes(trials, corpus.tokenizer.vocab_size)]:
        say(line)


@app.command()
def space(
    study: Annotated[
        str,
        typer.Argument(
            metavar="FILE|STUDY", help="A YAML file, a shipped study or a study's name.", autocompletion=any_study
        ),
    ],
    storage: Storage = STORAGE_DEFAULT,
    set_: Set = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Say how large a study's space is: layouts by depth, scalars, what its limits leave of random draws, and sizes."""
    from growlab.preparation.extents import read_extent
    from growlab.report.extent import extent_as_mapping, print_extent

    extent = read_extent(study, set_ or [], storage, plugin or [], say)
    if as_json:
        print(json.dumps(extent_as_mapping(extent), indent=2))
    else:
        print_extent(extent, sys.stdout)


@app.command()
def simulate(
    study: Annotated[
        str,
        typer.Argument(
            metavar="FILE|STUDY", help="A YAML file, a shipped study or a study's name.", autocompletion=any_study
        ),
    ],
    table: Annotated[
        str,
        typer.Option(metavar="FILE|FILE.py:FUNCTION", help="Trainings to look results up in, TSV or TSV.xz."),
    ],
    workers: Annotated[int, typer.Option(min=1, help="Pretended ones: as many as you like.")] = 1,
    seed: Annotated[int, typer.Option(help="Of speeds, deaths and preemptions.")] = 0,
    stragglers: Annotated[
        float, typer.Option(min=0, metavar="SD", help="Of the logarithm of workers' speeds; 0: all are alike.")
    ] = 0.0,
    dies_every: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Mean time until a worker dies without a word; 0: never."),
    ] = 0.0,
    preempted_every: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Mean time until it is asked to save its trial and leave; 0: never."
        ),
    ] = 0.0,
    away: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="From either until it is back.")] = 0.0,
    lease: Lease = LEASE_S,
    checkpoint_every: Annotated[
        float, typer.Option(min=0.01, metavar="SECONDS", help="Of training, all that a death may cost.")
    ] = CHECKPOINT_EVERY_S,
    flops_per_s: Annotated[
        float, typer.Option(min=0, metavar="FLOPS", help="A worker's pace; 0: as long as the table's trainings took.")
    ] = 0.0,
    vocab_size: Annotated[
        int, typer.Option(min=0, help="Tokens of the study's text, which need not be here then; 0: it is read.")
    ] = 0,
    trials: Annotated[
        Path | None,
        typer.Option(metavar="OUT.tsv", help="Write all trials there, in the order of decisions.", callback=in_home),
    ] = None,
    storage: Storage = STORAGE_DEFAULT,
    set_: Set = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Let pretended workers serve a study in virtual time: real decisions, trainings looked up in a table.

    What would a hundred workers, another sampler or rungs have come to? A stored study may be changed with --set too:
    nothing is stored. A table is what growlab study export-table writes; a trial whose layout and scalars it does not
    have is given the nearest training. A function of a Python file is asked for each trial instead.
    """
    from growlab.files import write_atomically
    from growlab.simulate.printing import print_simulation, trials_as_text

    found = api.simulate(
        study,
        table,
        set_ or [],
        workers=workers,
        seed=seed,
        stragglers=stragglers,
        dies_every_s=dies_every,
        preempted_every_s=preempted_every,
        away_s=away,
        lease_s=lease,
        checkpoint_every_s=checkpoint_every,
        flops_per_s=flops_per_s,
        vocab_size=vocab_size,
        storage=storage,
        plugins=plugin or [],
        tell=say,
    )
    if trials is not None:
        write_atomically(trials, trials_as_text(found).encode())
    if as_json:
        print(json.dumps(found.as_mapping(), indent=2))
    else:
        print_simulation(found, sys.stdout)


@app.command()
def export_table(
    study: StudyName,
    out: Annotated[Path, typer.Argument(metavar="OUT.tsv", help="A file; OUT.tsv.xz is packed.", callback=in_home)],
    storage: Storage = STORAGE_DEFAULT,
) -> None:
    """Write the trainings of a study as a table to simulate others on: layouts, scalars, FLOPs, times, loss curves.

    A row for each trial that is over or waits at a rung; docs/simulating.md explains the columns.
    """
    n = api.export_table(study, out, storage=storage)
    options = [*place_options(storage), "--table", str(out)]
    say(f"{n} training(s) in {out}; try: {command('study simulate', study, options=options)}")


@app.command()
def keys(
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="A key such as train.lr, or a section such as growth.")
    ] = None,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As docs/study-file.md has them.")] = False,
    plugin: Plugin = None,
) -> None:
    """List every key that a study file may have: a sentence, its type, default and range, and what `search` means."""
    from growlab.plugins import load_plugins
    from growlab.study import reference

    load_plugins(plugin or [])
    found = reference.all_keys() if key is None else reference.keys_named(key)
    if as_json:
        print(json.dumps([asdict(known) for known in found], indent=2))
    elif as_markdown:
        print(reference.page(found), end="")
    else:
        for known in found:
            print_wrapped(f"{known.name}  ", known.help)
            print_wrapped(" " * _INDENT, reference.about(known))
