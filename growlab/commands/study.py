"""growlab study: create, list, show, delete, run, preview."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import (
    MOST_WORKERS,
    STORAGE_DEFAULT,
    Artifacts,
    Deterministic,
    Devices,
    Json,
    Plugin,
    Set,
    Storage,
    artifact_root,
    say,
    with_shell_hint,
)
from growlab.errors import GrowlabError, StorageError, UsageError, did_you_mean
from growlab.escapes import quoted, visible

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.search import Proposal
    from growlab.storage import Store, StudyRow
    from growlab.study import Study

app = typer.Typer(help="Studies: what to search, on which data, for how long.", no_args_is_help=True)

File = Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or the name of a study that growlab ships.")]
Name = Annotated[str, typer.Argument(metavar="STUDY", help="The name of a study.")]
NewName = Annotated[str, typer.Option("--name", help="Instead of the name in the file.", show_default=False)]


@app.command()
def create(
    file: File, storage: Storage = STORAGE_DEFAULT, name: NewName = "", set_: Set = None, plugin: Plugin = None
) -> None:
    """Check a study file and put the study into the database, which is made if there is none."""
    plugins = plugin or []
    study, _ = prepared(read(file, set_ or [], name), plugins)
    with created_store(storage) as store:
        store.create_study(study)
    say(f"created study {study.name!r} in {store.url}: {study.n_trials} trials")
    say(f"start workers with: growlab worker {study.name}{with_shell_hint(storage, plugins)}")


@app.command("list")
def list_(storage: Storage = STORAGE_DEFAULT, as_json: Json = False) -> None:
    """List the studies."""
    from growlab.report.pace import read_pace
    from growlab.storage import Store

    with Store.open(storage) as store:
        studies = store.studies()
        paces = [read_pace(store, each.id, each.counts) for each in studies]
    rows = [
        {
            "name": each.name,
            "n_trials": each.n_trials,
            "counts": {str(state): n for state, n in each.counts.items()},
            "best_val_loss": each.best_val_loss,
            "created_at": each.created_at,
            "trials_per_hour": pace and pace.trials_per_hour,
            "trials_at_once": pace and pace.at_once,
        }
        for each, pace in zip(studies, paces, strict=True)
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        say("no studies yet; create one: growlab study create FILE")
    for each in studies:
        done = ", ".join(f"{n} {state}" for state, n in each.counts.items() if n) or "not begun"
        best = "" if each.best_val_loss is None else f", best val_loss {each.best_val_loss:.4f}"
        print(visible(f"{each.name}\t{each.n_trials} trials: {done}{best}"))


@app.command()
def show(study: Name, storage: Storage = STORAGE_DEFAULT, as_json: Json = False) -> None:
    """Print a study as it was stored, every default written out."""
    from growlab.doors import study_to_mapping
    from growlab.storage import Store
    from growlab.yaml_file import yaml_text

    with Store.open(storage) as store:
        mapping = study_to_mapping(store.study(study).study)
    if as_json:
        print(json.dumps(mapping, indent=2))
    else:
        print(yaml_text(mapping), end="")


@app.command()
def delete(
    study: Name,
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
    study: Annotated[str, typer.Argument(metavar="FILE|STUDY", help="A YAML file, a shipped study or a study's name.")],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes on this machine; with --device all: per GPU.")
    ] = 1,
    device: Devices = "auto",
    lease: Annotated[float, typer.Option(min=2, metavar="SECONDS", help="See growlab worker --help.")] = 30.0,
    deterministic: Deterministic = False,
    name: NewName = "",
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Create the study if it is new, start workers and show the leaderboard while they work; go on after a stop."""
    from growlab.commands.working import devices_for, work
    from growlab.storage import Store

    devices, plugins = devices_for(device, workers), plugin or []
    new = is_new(study)
    if new:
        read(study, set_ or [], name)  # a file that cannot be read must not leave a database behind
    with Store.open(storage, create=new) as store:
        row = find_or_create(store, study, set_ or [], name, plugins)
        root, options = artifact_root(storage, artifacts), {"--lease": lease}
        how = " --deterministic" if deterministic else ""
        again = f"growlab study run {row.study.name}{how}{with_shell_hint(storage, plugins, artifacts)}"
        work(
            store,
            row,
            storage=storage,
            artifacts=root,
            devices=devices,
            options=options,
            plugins=plugins,
            deterministic=deterministic,
            again=again,
        )
        unfinished = row.study.n_trials - sum(n for state, n in store.counts(row.id).items() if state.is_final)
    if unfinished:
        raise GrowlabError(f"{unfinished} trial(s) are not finished; go on with: {again}")


@app.command()
def preview(
    file: File,
    set_: Set = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 10,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Sample layouts as the study would, with parameters, FLOPs, memory and time, before anything is spent."""
    from growlab.commands.estimate import estimate
    from growlab.kinds import KINDS
    from growlab.model.cost import count_params
    from growlab.search import preview as sample

    study, corpus = prepared(read(file, set_ or []), plugin or [])
    vocab_size = corpus.tokenizer.vocab_size
    proposals: list[Proposal] = sample(study, KINDS, lambda layout: count_params(layout, vocab_size), n)
    rows = estimate(proposals, corpus)
    if as_json:
        print(json.dumps([row.as_mapping() for row in rows], indent=2))
        return
    from growlab.commands.estimate import print_table

    print_table(rows)


# ---- what the commands do ------------------------------------------------------------------------------------


def read(file: str, overrides: list[str], name: str = "") -> "Study":
    """The study in a file, or the shipped one of that name. Raises SpecError, UsageError."""
    from growlab.doors import read_study_file
    from growlab.resources import shipped_studies

    path, shipped = Path(file), shipped_studies()
    if not path.is_file() and file in shipped:
        path = shipped[file]
    if not path.exists():  # what is no regular file says so when it is opened
        raise UsageError(
            f"no study file {quoted(file)}; shipped studies: {', '.join(shipped)}.{did_you_mean(file, shipped)}"
        )
    study = read_study_file(path, overrides)
    return replace(study, name=name) if name else study


def prepared(study: "Study", plugins: Sequence[Path] = ()) -> "tuple[Study, Corpus]":
    """Checked against kinds, operators and corpus, the corpus's hash written in; the corpus. Raises GrowlabError."""
    from growlab.data import load_corpus, recorded_curriculum, require_windows
    from growlab.growth.operators import OPERATORS
    from growlab.kinds import KINDS
    from growlab.model.cost import count_params
    from growlab.plugins import load_plugins
    from growlab.search import check_space, warnings_for
    from growlab.search import preview as preview_study

    load_plugins(plugins)
    check_space(study, KINDS, list(OPERATORS))
    for warning in warnings_for(study):
        say(f"warning: {warning}")
    corpus = load_corpus(
        study.data.spec(), study.curriculum
    )  # refuses a text other than the one that data.sha256 names
    require_windows(corpus, longest_window(study))
    if study.objective.metric == "bits_per_byte" and math.isnan(corpus.val_bytes_per_token):
        raise UsageError("objective.metric bits_per_byte needs a tokenizer that knows its bytes; use val_loss")
    data = replace(study.data, sha256=corpus.sha256, tokenizer_sha256=corpus.tokenizer_sha256)
    study = replace(study, data=data, curriculum=recorded_curriculum(study.curriculum, corpus))
    preview_study(study, KINDS, lambda layout: count_params(layout, corpus.tokenizer.vocab_size), n=1)  # has it any?
    return study, corpus


def is_new(name_or_file: str) -> bool:
    """Whether a study can be read from it: a file, or the name of a shipped study."""
    from growlab.resources import shipped_studies

    return Path(name_or_file).is_file() or name_or_file in shipped_studies()


def is_stored(name_or_file: str, known: Iterable[str]) -> bool:
    """Whether a word means one of the `known` studies of a database: a file comes first, a shipped study last.

    Raises UsageError when it means none of them.
    """
    from growlab.resources import shipped_studies

    known, shipped = sorted(known), shipped_studies()
    if Path(name_or_file).is_file():
        return False
    if name_or_file in known or name_or_file in shipped:
        return name_or_file in known
    raise UsageError(
        f"{quoted(name_or_file)} is neither a file nor a study; "
        f"studies: {', '.join(known) or 'none'}; shipped: {', '.join(shipped)}."
        f"{did_you_mean(name_or_file, [*known, *shipped])}"
    )


def longest_window(study: "Study") -> int:
    """The largest train.seq_len that a trial of the study may have."""
    from growlab.domains import corners

    return max(int(value) for value in corners(study.train["seq_len"]))


def created_store(storage: str) -> "Store":
    from growlab.storage import Store

    return Store.open(storage, create=True)


def find_or_create(
    store: "Store", name_or_file: str, overrides: list[str], new_name: str, plugins: Sequence[Path] = ()
) -> "StudyRow":
    """A study by name, or the one in a file: created, or gone on with if it is there and the same."""
    from growlab.doors import study_to_mapping

    known = {each.name for each in store.studies()}
    if is_stored(name_or_file, known) and not (overrides or new_name):
        return store.study(name_or_file)
    study, _ = prepared(read(name_or_file, overrides, new_name), plugins)
    try:
        if study.name not in known:
            store.create_study(study)
            say(f"created study {study.name!r} in {store.url}")
            return store.study(study.name)
    except StorageError:  # another process was faster; join it if it made the same study
        if study.name not in {each.name for each in store.studies()}:
            raise
    if study_to_mapping(store.study(study.name).study) != study_to_mapping(study):
        raise UsageError(
            f"study {study.name!r} exists and is not the one in {name_or_file}; "
            f"choose another with --name, or delete it: growlab study delete {study.name}"
        )
    return store.study(study.name)
