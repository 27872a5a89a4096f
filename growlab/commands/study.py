"""growlab study: create, list, show, set, delete, run, preview."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.completion import any_study, shipped
from growlab.commands.options import (
    MOST_THREADS,
    MOST_WORKERS,
    STORAGE_DEFAULT,
    USUAL_PATIENCE_S,
    Artifacts,
    Deterministic,
    Devices,
    Json,
    Patience,
    Plugin,
    Set,
    Storage,
    StudyName,
    artifact_root,
    place,
    say,
)
from growlab.commands.texts import are_paths, path_words, with_found_texts, with_paths
from growlab.errors import GrowlabError, StorageError, UsageError, did_you_mean
from growlab.escapes import quoted, visible
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.search import Proposal
    from growlab.storage import Store, StudyRow
    from growlab.study import Study

_SAMPLED = 10  # trials that a preview shows, and that tell how many steps a budget in FLOPs gives

app = typer.Typer(help="Studies: what to search, on which data, for how long.", no_args_is_help=True)

File = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="A YAML file, or the name of a study that growlab ships.", autocompletion=shipped
    ),
]
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
    say(f"start workers with: {command('worker', study.name, options=place(storage, plugins))}")


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
        say(f"no studies yet; create one: {command('study create', 'FILE', options=place(storage))}")
    for each in studies:
        done = ", ".join(f"{n} {state}" for state, n in each.counts.items() if n) or "not begun"
        best = "" if each.best_val_loss is None else f", best val_loss {each.best_val_loss:.4f}"
        print(visible(f"{each.name}\t{each.n_trials} trials: {done}{best}"))


@app.command()
def show(study: StudyName, storage: Storage = STORAGE_DEFAULT, as_json: Json = False) -> None:
    """Print a study as it was stored, every default written out."""
    from growlab.storage import Store
    from growlab.study.column import study_to_mapping
    from growlab.yaml_file import yaml_text

    with Store.open(storage) as store:
        mapping = study_to_mapping(store.study(study).study)
    if as_json:
        print(json.dumps(mapping, indent=2))
    else:
        print(yaml_text(mapping), end="")


@app.command("set")
def set_(
    study: StudyName,
    change: Annotated[str, typer.Argument(metavar="n_trials=N", help="The one thing that can be changed.")],
    storage: Storage = STORAGE_DEFAULT,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Change how many trials a study has, finished or not. Those that exist stay; workers that run notice.

    A search goes on as if it had been meant so from the beginning: a proposal depends on what has finished before it,
    not on how many are to come. After the last cell of a sampler.grid it draws layouts and values.
    """
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        n_trials = _changed(row.study, change, plugin or [])
        store.set_n_trials(study, n_trials)
        n_done = sum(n for state, n in store.counts(row.id).items() if state.is_final)
    if as_json:
        print(json.dumps({"name": study, "n_trials": n_trials}, indent=2))
    say(f"study {study!r}: n_trials {row.study.n_trials} → {n_trials}, {n_done} done")
    if n_done < n_trials:
        say(f"go on with: {command('study run', study, options=place(storage, plugin or []))}")


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
    workers: Annotated[
        int, typer.Option(min=1, max=MOST_WORKERS, help="Processes on this machine; with --device all: per GPU.")
    ] = 1,
    device: Devices = "auto",
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_THREADS,
            help="CPU threads of torch, for each worker; 0: OMP_NUM_THREADS, else an equal share of the cores.",
        ),
    ] = 0,
    lease: Annotated[float, typer.Option(min=2, metavar="SECONDS", help="See growlab worker --help.")] = 30.0,
    patience: Patience = USUAL_PATIENCE_S,
    deterministic: Deterministic = False,
    name: NewName = "",
    set_: Set = None,
    plugin: Plugin = None,
) -> None:
    """Create the study if it is new, start workers and show the leaderboard while they work; go on after a stop."""
    from growlab.commands.ending import show_end
    from growlab.commands.working import devices_for, patient_watcher, unfinished, work
    from growlab.storage import Store

    devices, plugins = devices_for(device, workers), plugin or []
    new = is_new(study)
    if new:
        read(study, set_ or [], name)  # a file that cannot be read must not leave a database behind
    with Store.open(storage, create=new, patience=patient_watcher(patience)) as store:
        row = find_or_create(store, study, set_ or [], name, plugins)
        if unfinished(store, row) <= 0:
            say(f"study {row.study.name!r} is finished; more trials: {_more_trials(row, storage)}")
            show_end(store, row, storage=storage, artifacts=artifacts, plugins=plugins)
            return
        given = path_words(store.study(row.study.name).study, row.study)
        row = replace(row, study=with_found_texts(row.study, storage, plugins))
        how = [*given, *_how(workers, device, threads, deterministic)]
        again = command("study run", row.study.name, options=[*how, *place(storage, plugins, artifacts)])
        work(
            store,
            row,
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=devices,
            options={"--lease": lease, "--patience": patience},
            threads=threads,
            plugins=plugins,
            deterministic=deterministic,
            again=again,
        )
        show_end(store, row, storage=storage, artifacts=artifacts, plugins=plugins)
        left = unfinished(store, row)
    if left > 0:
        raise GrowlabError(f"{left} trial(s) are not finished; go on with: {again}")


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

    Of a study with sampler.grid only its cells are shown. In a pipe a line of TSV for each.
    """
    from growlab.commands.estimate import estimate, in_words, print_table, print_tsv
    from growlab.kinds import KINDS
    from growlab.model.cost import count_params
    from growlab.search import preview as sample
    from growlab.search.grid import n_first

    study, corpus = prepared(read(file, set_ or []), plugin or [])
    vocab_size = corpus.tokenizer.vocab_size
    wanted = min(_SAMPLED, study.n_trials) if n is None else n
    wanted = min(wanted, study.n_trials, n_first(study)) if study.sampler.grid else wanted
    proposals: list[Proposal] = sample(study, KINDS, lambda layout: count_params(layout, vocab_size), wanted)
    rows = estimate(proposals, corpus)
    if as_json:
        print(json.dumps([row.as_mapping() for row in rows], indent=2))
        return
    (print_table if sys.stdout.isatty() else print_tsv)(rows, sys.stdout)
    for line in in_words(rows, study):
        say(line)


# ---- what the commands do ------------------------------------------------------------------------------------


def read(file: str, overrides: list[str], name: str = "") -> "Study":
    """The study in a file, or the shipped one of that name. Raises SpecError, UsageError."""
    from growlab.resources import shipped_studies
    from growlab.study.file import read_study_file

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
    from growlab.commands.corpus_notes import tell_of_corpus
    from growlab.data import load_corpus, recorded_curriculum, require_windows
    from growlab.kinds import KINDS
    from growlab.model.cost import count_params, expected_steps
    from growlab.search import preview as preview_study
    from growlab.search import warnings_for

    _check(study, plugins)
    corpus = load_corpus(study.data, study.curriculum)  # refuses a text other than the one that data.sha256 names
    for seq_len in windows(study):
        require_windows(corpus, seq_len)
    if study.objective.metric == "bits_per_byte" and math.isnan(corpus.val_bytes_per_token):
        raise UsageError("objective.metric bits_per_byte needs a tokenizer that knows its bytes; use val_loss")
    data = replace(study.data, sha256=corpus.sha256, tokenizer_sha256=corpus.tokenizer_sha256, dtype=corpus.dtype)
    study = replace(study, data=data, curriculum=recorded_curriculum(study.curriculum, corpus))
    vocab_size = corpus.tokenizer.vocab_size
    n = min(study.n_trials, _SAMPLED) if study.budget.unit == "flops" else 1  # and whether a layout fits at all
    sampled = preview_study(study, KINDS, lambda layout: count_params(layout, vocab_size), n=n)
    for warning in warnings_for(study, n_steps=max(expected_steps(each.spec, vocab_size) for each in sampled)):
        say(f"warning: {warning}")
    tell_of_corpus(corpus, sampled[0].spec, min(windows(study)))
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


def windows(study: "Study") -> list[int]:
    """Every train.seq_len that a trial of the study may have, or of a range its ends: the shortest first."""
    from growlab.domains import corners

    return sorted({int(value) for value in corners(study.train["seq_len"])})


def created_store(storage: str) -> "Store":
    from growlab.storage import Store

    return Store.open(storage, create=True)


def find_or_create(
    store: "Store", name_or_file: str, overrides: list[str], new_name: str, plugins: Sequence[Path] = ()
) -> "StudyRow":
    """A study by name, or the one in a file: created, or gone on with if it is there and the same.

    Its texts may lie elsewhere by now: the paths are then those of the file, or of `overrides`.
    """
    from growlab.commands.differences import not_the_same, stored_alone
    from growlab.moved import moves_between

    known = {each.name for each in store.studies()}
    if is_stored(name_or_file, known):
        if are_paths(overrides) and not new_name:
            row = store.study(name_or_file)
            return replace(row, study=with_paths(row.study, overrides))
        if not is_new(name_or_file):
            raise stored_alone(name_or_file, overrides, new_name, store.options)
    study, _ = prepared(read(name_or_file, overrides, new_name), plugins)
    try:
        if study.name not in known:
            store.create_study(study)
            say(f"created study {study.name!r} in {store.url}")
            return store.study(study.name)
    except StorageError:  # another process was faster; join it if it made the same study
        if study.name not in {each.name for each in store.studies()}:
            raise
    row = store.study(study.name)
    if moves_between(row.study, study) is None:
        raise not_the_same(row.study, study, name_or_file, store.options)
    return replace(row, study=study)


def _changed(study: "Study", change: str, plugins: Sequence[Path]) -> int:
    """The number of trials that `change` asks for. Raises UsageError for another key, or where more cannot be drawn."""
    from growlab.search.grid import n_first
    from growlab.study.column import study_to_mapping
    from growlab.study.overrides import apply_overrides
    from growlab.study.reading import study_from_mapping

    key = change.partition("=")[0]
    if key != "n_trials":
        raise UsageError(
            f"{key!r} of a stored study cannot be changed, as its trials were made with it: n_trials=N alone can. "
            "Make another study of its file, with --set and --name"
        )
    mapping = study_to_mapping(study)
    apply_overrides(mapping, [change])
    changed = study_from_mapping(mapping)
    if study.n_trials <= n_first(study) < changed.n_trials:  # from now on layouts are drawn too
        _check(changed, plugins)
    return changed.n_trials


def _check(study: "Study", plugins: Sequence[Path]) -> None:
    """Raises UsageError for a study that could propose what cannot run."""
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins
    from growlab.search import check_space

    load_plugins(plugins)
    check_space(study, KINDS)


def _how(workers: int, device: str, threads: int, deterministic: bool) -> list[str]:
    """The options that place a run, unless they are the usual ones."""
    words = {"--workers": workers != 1 and workers, "--device": device != "auto" and device, "--threads": threads}
    how = [word for name, value in words.items() if value for word in (name, str(value))]
    return [*how, *(["--deterministic"] if deterministic else [])]


def _more_trials(row: "StudyRow", storage: str) -> str:
    change = f"n_trials={2 * row.study.n_trials}"
    return command("study set", row.study.name, change, options=place(storage))
