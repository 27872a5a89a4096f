"""What commands and notebooks share: a study from its file to its leaderboard.

    from growlab import api

    study = api.read_study("quickstart")
    api.create(study)
    api.run(study.name, workers=2).wait()
    api.load_study("sqlite:///growlab.db", study.name).trials()

A study is stored in a database, and known there by its name. What a person may want to know on the way, a line each,
goes to `tell`. Errors are a GrowlabError; torch and pandas are loaded by what needs them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from growlab.defaults import (
    CHECKPOINT_EVERY_S,
    FIRST_STUDY_MINUTES,
    LEASE_S,
    LOCAL_LEASE_S,
    STORAGE_DEFAULT,
    USUAL_MARGIN,
    USUAL_PATIENCE_S,
)
from growlab.errors import UsageError
from growlab.escapes import quoted
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from growlab.export.evaluating import Evaluated
    from growlab.export.held_out import HeldOut
    from growlab.first_study.begin import FirstStudy
    from growlab.notebook import LoadedStudy
    from growlab.preparation.replaying import Replay
    from growlab.report.confirmation import Confirmation
    from growlab.running.outcome import Standing
    from growlab.running.run import Run
    from growlab.running.slots import Slots
    from growlab.running.training_again import Trained
    from growlab.simulate.outcome import Simulation
    from growlab.study import Study


def init(
    text: str | Path,
    file: str | Path | None = None,
    *,
    minutes: float = FIRST_STUDY_MINUTES,
    device: str = "auto",
    name: str = "",
    force: bool = False,
    tell: Tell = print,
) -> "FirstStudy":
    """Write a first study of a text, or a folder of .txt files, that is done here in about so many minutes.

    `growlab init`: it looks at the text and times a few steps of training on this machine. `file` is NAME.yaml in this
    folder unless given. Raises UsageError for a file that is there unless `force`d, DataError for a text that is
    missing, unreadable, no UTF-8, empty or too small.
    """
    from growlab.first_study.begin import begin_study

    target = None if file is None else Path(file)
    return begin_study(str(text), target, minutes=minutes, device=device, name=name, force=force, tell=tell)


def read_study(
    file: str | Path, overrides: Sequence[str] = (), name: str = "", *, plugins: Sequence[Path] = ()
) -> "Study":
    """Read the study in a YAML file, or the shipped one of that name, with `overrides` such as train.lr=1e-3.

    `name` is instead of its own; `plugins` are files that register what the study names. Loads torch. Raises SpecError,
    UsageError.
    """
    from growlab.preparation.sources import read_study

    return read_study(str(file), overrides, name, plugins)


def load_study(
    url: str = STORAGE_DEFAULT, name: str = "", *, plugins: Sequence[Path] = (), tell: Tell = print
) -> "LoadedStudy":
    """Find a stored study: its trials, metrics, growth and workers as pandas frames, its figures, its Optuna study.

    Nothing else is read before it is asked for. Raises NotFound with the known studies, StorageError where there is no
    database, UsageError for a study file, which `read_study` reads.
    """
    from growlab.notebook import LoadedStudy

    if not name or not isinstance(name, str) or str(url).endswith((".yaml", ".yml")):
        raise UsageError(
            f"load_study needs the URL of a database and the name of a study in it, got {quoted(url)} and "
            f"{quoted(name)}; api.read_study({str(url)!r}) reads a study file, or a shipped one"
        )
    return LoadedStudy(url, name, plugins=plugins, tell=tell)


def create(
    study: "Study",
    *,
    start_from: str = "",
    top: int = 3,
    storage: str = STORAGE_DEFAULT,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Study":
    """Check a study and put it into the database, which is made if there is none.

    Its first trials are the `top` best of the stored study `start_from`, where one is named. Returns it as it is
    stored, with the hashes of its texts. Raises UsageError for what cannot be trained, DataError for a text that cannot
    be read, StorageError for a name that is taken.
    """
    from growlab.preparation.adding import best_as_first
    from growlab.preparation.checking import prepare
    from growlab.preparation.transferring import with_transferred
    from growlab.storage import Store

    prepared, corpus = prepare(study, plugins, tell)
    with Store.open(storage, create=True) as store:
        prepared = with_transferred(store, prepared, tell)
        vocab_size = corpus.tokenizer.vocab_size
        first = best_as_first(store, start_from, prepared, top, vocab_size, tell) if start_from else []
        store.create_study(prepared, first)
        begins = f", the first {len(first)} of them the best of {start_from!r}" if first else ""
        tell(f"created study {prepared.name!r} in {store.url}: {prepared.n_trials} trials{begins}")
    return prepared


def add_trial(
    study: str,
    layout: str,
    values: Mapping[str, Any] = MappingProxyType({}),
    *,
    storage: str = STORAGE_DEFAULT,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> int:
    """Put a trial of a layout into the queue of a stored study, and return its number: `growlab trial add`.

    `values` are those of searched scalars, as {"train.lr": 1e-3}; the others are drawn. Raises NotFound, and UsageError
    for what the study could not have among its layouts to start with.
    """
    from growlab.preparation.adding import add_trial
    from growlab.storage import Store

    with Store.open(storage) as store:
        added = add_trial(store, study, layout, values, storage, plugins, tell)
    [number] = added.numbers
    tell(f"trial {number} of {study!r} is in the queue{added.raised}")
    return number


def import_results(
    study: str,
    table: str | Path,
    *,
    storage: str = STORAGE_DEFAULT,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> list[int]:
    """Add results from elsewhere to a stored study, which learns from them: `growlab study import`.

    `table` is a CSV or TSV file with the columns layout, searched scalars by full name, and the objective. Returns the
    numbers of the trials. Raises NotFound, and UsageError with the line of what the study could not have tried.
    """
    from growlab.preparation.adding import import_results
    from growlab.storage import Store

    with Store.open(storage) as store:
        added = import_results(store, study, Path(table), plugins, tell)
    tell(f"study {study!r} was told {len(added.numbers)} result(s){added.raised}")
    return list(added.numbers)


def run(
    study: str,
    *,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    threads: int = 0,
    deterministic: bool = False,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Run":
    """Start workers on this machine that train a stored study, and return at once: `wait` and `stop` are the Run's.

    `workers` are those of `device`, or of each GPU for 'all'; the options are those of `growlab study run`. Raises
    NotFound with the known studies, UsageError for a device that is not there.
    """
    from growlab.preparation.places import artifact_root
    from growlab.preparation.texts import with_found_texts
    from growlab.running.crew import Crew
    from growlab.running.devices import devices_for
    from growlab.running.patience import telling_patience
    from growlab.running.run import Run
    from growlab.storage import Store

    crew = Crew(
        storage=storage,
        artifacts=artifact_root(storage, artifacts),
        devices=devices_for(device, workers),
        options={"--lease": LOCAL_LEASE_S, "--patience": USUAL_PATIENCE_S},
        threads=threads,
        plugins=plugins,
        deterministic=deterministic,
    )
    store = Store.open(storage, patience=telling_patience(USUAL_PATIENCE_S, tell))
    try:
        row = store.study(study)
        row = replace(row, study=with_found_texts(row.study, storage, plugins, tell))
    except BaseException:
        store.close()
        raise
    return Run(store, row, crew)


def run_to_end(
    name_or_file: str | Path,
    overrides: Sequence[str] = (),
    name: str = "",
    *,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    threads: int = 0,
    lease_s: float = LOCAL_LEASE_S,
    patience_s: float = USUAL_PATIENCE_S,
    deterministic: bool = False,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Standing":
    """Create a study if it is new, start workers on this machine, and wait until all have left: `growlab study run`.

    Returns how the study stands then. An interrupt stops the workers, which keep everything, and is raised again.
    Raises GrowlabError for what cannot be trained, and when all workers failed.
    """
    from growlab.running.study_run import Workers, run_study
    from growlab.running.work import Follower

    asked = Workers(
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        threads=threads,
        lease_s=lease_s,
        patience_s=patience_s,
        deterministic=deterministic,
        plugins=plugins,
    )
    return run_study(str(name_or_file), overrides, name, workers=asked, follower=Follower(tell=tell))


def confirm(
    study: str,
    *,
    top: int = 5,
    seeds: int = 4,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    threads: int = 0,
    deterministic: bool = False,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Confirmation":
    """Train the best trials of a study again on fresh seeds, and wait for their ranking: `growlab study confirm`.

    An interrupt stops the workers, which keep everything, and is raised again; the same call goes on. Raises NotFound,
    UsageError where other trials are being confirmed, GrowlabError when all workers failed.
    """
    from growlab.running.confirm_run import confirm_study
    from growlab.running.study_run import Workers
    from growlab.running.work import Follower

    asked = Workers(
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        threads=threads,
        lease_s=LOCAL_LEASE_S,
        patience_s=USUAL_PATIENCE_S,
        deterministic=deterministic,
        plugins=plugins,
    )
    return confirm_study(study, top=top, seeds=seeds, workers=asked, follower=Follower(tell=tell))


def ablate(
    file: str | Path,
    overrides: Sequence[str] = (),
    name: str = "",
    *,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    threads: int = 0,
    deterministic: bool = False,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> dict[str, Any]:
    """Train the arms of an ablation, and wait for the verdicts, in the keys of `growlab ablate --json`.

    An interrupt stops the workers, which keep everything, and is raised again; the same call goes on. Raises
    GrowlabError for what cannot be trained, and when all workers failed.
    """
    from growlab.ablate.table import result_mapping
    from growlab.running.ablation import read_and_prepare, run_ablation
    from growlab.running.study_run import Workers
    from growlab.running.work import Follower
    from growlab.suggest import command

    prepared = read_and_prepare(Path(file), overrides, name, plugins, tell)
    asked = Workers(
        storage=storage,
        artifacts=artifacts,
        workers=workers,
        device=device,
        threads=threads,
        lease_s=LOCAL_LEASE_S,
        patience_s=USUAL_PATIENCE_S,
        deterministic=deterministic,
        plugins=plugins,
    )
    again = command("ablate", str(file), options=asked.places)
    return result_mapping(run_ablation(prepared, workers=asked, again=again, follower=Follower(tell=tell)))


def work(
    study: str,
    *,
    slots: "Slots" = "auto",
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    device: str = "auto",
    max_trials: int | None = None,
    max_time_s: float | None = None,
    threads: int = 0,
    lease_s: float = LEASE_S,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    patience_s: float = USUAL_PATIENCE_S,
    deterministic: bool = False,
    paths: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> None:
    """Let `slots` workers on a device serve a stored study until all have left: `growlab worker --slots`.

    'auto' measures how many; the limits hold for each worker; `paths` say where texts lie here, as data.path=FILE.
    An interrupt stops the workers and is no failure. Raises NotFound, UsageError, GrowlabError when all of them failed.
    """
    from growlab.running.slot_run import serve_in_slots
    from growlab.running.work import Follower

    serve_in_slots(
        study,
        slots,
        paths=paths,
        storage=storage,
        artifacts=artifacts,
        device=device,
        threads=threads,
        max_trials=max_trials,
        max_time_s=max_time_s,
        lease_s=lease_s,
        checkpoint_every_s=checkpoint_every_s,
        patience_s=patience_s,
        deterministic=deterministic,
        plugins=plugins,
        follower=Follower(tell=tell),
    )


def train(
    config: str | Path,
    overrides: Sequence[str] = (),
    *,
    budget: str | None = None,
    begin_from: str | Path | None = None,
    text: str | Path | None = None,
    name: str = "",
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int = 0,
    deterministic: bool = False,
    output: Path | None = None,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Trained":
    """Train an exported configuration again, as a study of one, and wait for its result: `growlab train`.

    `overrides` change the trial, `budget` scales or sets what it may spend, `output` is a new folder to export to.
    It begins with the weights of `begin_from`, a folder that `export` wrote, and reads `text` instead of its own.
    Raises GrowlabError for what cannot be trained and for a trial that did not complete.
    """
    from growlab.running.training_again import train_again
    from growlab.running.work import Follower

    return train_again(
        Path(config),
        overrides,
        budget,
        name=name,
        storage=storage,
        artifacts=artifacts,
        resume=resume,
        again="the same call with resume=True",
        device=device,
        threads=threads,
        deterministic=deterministic,
        output=output,
        plugins=plugins,
        follower=Follower(tell=tell),
        begin_from=None if begin_from is None else Path(begin_from),
        text=None if text is None else Path(text),
    )


def leaderboard(
    study: str,
    *,
    storage: str = STORAGE_DEFAULT,
    sort_by: str = "",
    where: str = "",
    columns: Sequence[str] = (),
    top: int = 0,
    tell: Tell = print,
) -> "pd.DataFrame":
    """Read the leaderboard, one row per trial, the best first, in the columns of `growlab report --format csv`.

    `sort_by` is a column, "-params" the other way round, the study's first objective unless said; `where` a condition
    such as "val_loss < 1.6 and has mamba". Raises NotFound, UnknownName, UsageError for a condition.
    """
    from growlab.preparation.layout_metrics import read_front
    from growlab.report.frames import frame_of
    from growlab.report.leaderboard import read_leaderboard
    from growlab.report.selection import Selection, select
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        found = read_front(store, row, storage, (), tell)
        by = sort_by or row.study.objective.metric
        rows = read_leaderboard(store, row.id, by, found, row.study.scalars())
    selected = select(rows, Selection(where=where, columns=tuple(columns), top=top), row.study)
    return frame_of(selected.rows, selected.columns)


def report(
    study: str, *, storage: str = STORAGE_DEFAULT, plugins: Sequence[Path] = (), tell: Tell = print
) -> dict[str, Any]:
    """Read how a study stands, as `growlab report --json` prints it: state, spending, trials, front, workers, failures.

    Raises NotFound.
    """
    from growlab.preparation.layout_metrics import read_front
    from growlab.report.study_mapping import study_as_mapping
    from growlab.report.study_report import read_study_report
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        front = read_front(store, row, storage, plugins, tell)
        return study_as_mapping(read_study_report(store, row, front=front))


def compare(*trials: str, storage: str = STORAGE_DEFAULT) -> dict[str, Any]:
    """Read trials side by side, each named STUDY:NUMBER, as `growlab report --compare --json` prints them.

    Raises NotFound, UsageError for what names no trial.
    """
    from growlab.report.comparison import comparison_as_mapping, read_comparison, read_names
    from growlab.storage import Store

    names = read_names(trials)
    with Store.open(storage) as store:
        return comparison_as_mapping(read_comparison(store, names))


def groups(
    studies: str | Sequence[str],
    key: str,
    *,
    against: str | None = None,
    margin: float = USUAL_MARGIN,
    storage: str = STORAGE_DEFAULT,
) -> "pd.DataFrame":
    """Read what a value does to the objective, a row per value, in the columns of `growlab report --group-by KEY`.

    `against` is the value that the others are compared with on the same trial seeds, `margin` what is called equal, in
    the objective's unit. Raises NotFound, UnknownName, and UsageError for an ambiguous key.
    """
    import pandas as pd

    from growlab.report.group_table import columns_for_programs
    from growlab.report.groups import read_groups
    from growlab.storage import Store

    with Store.open(storage) as store:
        names = [studies] if isinstance(studies, str) else studies
        found = read_groups(store, [store.study(name) for name in names], key, against=against, margin=margin)
    return pd.DataFrame([asdict(row) for row in found.rows], columns=columns_for_programs(found))


def why(
    study: str, *, storage: str = STORAGE_DEFAULT, plugins: Sequence[Path] = (), tell: Tell = print
) -> dict[str, Any]:
    """Read what a study has learnt and would try next, as `growlab report --why --json` prints it. Raises NotFound."""
    from growlab.preparation.learning import read_why
    from growlab.report.why import why_as_mapping
    from growlab.storage import Store

    with Store.open(storage) as store:
        return why_as_mapping(read_why(store, store.study(study), storage, plugins, tell))


def trial(study: str, number: int, *, storage: str = STORAGE_DEFAULT) -> dict[str, Any]:
    """Read all that is known of one trial, as `growlab report --trial N --json` prints it. Raises NotFound."""
    from growlab.report.trial_facts import trial_as_mapping
    from growlab.storage import Store

    with Store.open(storage) as store:
        return trial_as_mapping(store, store.study(study), number)


def held_out(
    study: str,
    number: int,
    *,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    device: str = "auto",
    paths: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "HeldOut":
    """Compute the loss of a trial's final model on the test split, once, on record: `growlab test`.

    The second time it is read back; `.read_at` says since when. `paths` say where texts lie here, as data.path=FILE.
    Raises NotFound, UsageError for a trial that is not completed or a study without a test split.
    """
    from growlab.export.held_out import read_held_out
    from growlab.preparation.places import artifact_root
    from growlab.storage import Store

    with Store.open(storage) as store:
        return read_held_out(
            store,
            store.study(study),
            number,
            storage=storage,
            artifact_root=artifact_root(storage, artifacts),
            paths=paths,
            device=device,
            plugins=plugins,
            tell=tell,
        )


def evaluate(
    folder: str | Path,
    data: str | Path = "",
    *,
    column: str = "",
    recall: int = 0,
    needle: int = 0,
    batch_size: int = 0,
    device: str = "auto",
    plugins: Sequence[Path] = (),
) -> "Evaluated":
    """Evaluate an exported model on the whole text at `data`, and on tasks of so many pairs: `growlab eval`.

    `.text` has loss, perplexity and bits per byte, `.tasks` the shares of right answers. Raises UsageError where
    nothing is asked, DataError for a text that is missing or has characters that the model does not know.
    """
    from growlab.export.evaluating import evaluate_bundle

    n_items = {task: n for task, n in {"recall": recall, "needle": needle}.items() if n}
    return evaluate_bundle(
        Path(folder),
        str(data) if data else "",
        column=column,
        n_items=n_items,
        batch_size=batch_size,
        device=device,
        plugins=plugins,
    )


def write_html(
    study: str,
    file: str | Path,
    *,
    force: bool = False,
    storage: str = STORAGE_DEFAULT,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> int:
    """Write a stored study as one HTML page that needs no network: `growlab report --html`. Returns its size in bytes.

    Raises NotFound, and UsageError for a file that is there unless `force`, for one that cannot be written, and where
    the extra growlab[html] is missing.
    """
    from growlab.page import write_page

    loaded = load_study(storage, study, plugins=plugins, tell=tell)
    n_bytes = write_page(loaded, Path(file), force=force)
    tell(f"wrote {file}: {n_bytes / 1e6:.1f} MB, which any browser shows without a network")
    return n_bytes


def optuna_study(
    study: str, *, storage: str = STORAGE_DEFAULT, plugins: Sequence[Path] = (), tell: Tell = print
) -> "optuna.Study":
    """Read the finished trials of a study as one of Optuna's, in memory, for its importances and plots.

    Its parameters are a layout's width, depth and blocks by their places, and the searched scalars; `.user_attrs` of a
    trial have growlab's `trial` and `layout`. Trials from outside of the study's space are left out, which is told.
    Raises NotFound.
    """
    from growlab.preparation.optuna_studies import read_optuna_study
    from growlab.storage import Store

    with Store.open(storage) as store:
        return read_optuna_study(store, store.study(study), storage, plugins, tell)


def studies(*, storage: str = STORAGE_DEFAULT) -> list[dict[str, Any]]:
    """List every study of the database: its name, trials by state, best loss and pace."""
    from growlab.report.pace import read_pace
    from growlab.storage import Store

    with Store.open(storage) as store:
        stored = [(summary, read_pace(store, summary.id, summary.counts)) for summary in store.studies()]
    return [
        {
            "name": summary.name,
            "n_trials": summary.n_trials,
            "counts": {str(state): n for state, n in summary.counts.items()},
            "best_val_loss": summary.best_val_loss,
            "over": summary.over,
            "created_at": summary.created_at,
            "trials_per_hour": pace and pace.trials_per_hour,
            "trials_at_once": pace and pace.at_once,
        }
        for summary, pace in stored
    ]


def replay(
    study: str,
    *,
    storage: str = STORAGE_DEFAULT,
    paths: Sequence[str] = (),
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Replay":
    """Make every proposal of a study again and compare it with what is stored: `growlab study replay`.

    `.deviations` has the trials that came out otherwise; `paths` say where texts lie here, as data.path=FILE. Raises
    NotFound, NotRegistered for a kind that no plugin brings.
    """
    from growlab.preparation.replaying import replay_study
    from growlab.storage import Store

    with Store.open(storage) as store:
        return replay_study(store, store.study(study), paths=paths, storage=storage, plugins=plugins, tell=tell)


def simulate(
    name_or_file: str | Path,
    table: str | Path,
    overrides: Sequence[str] = (),
    *,
    workers: int = 1,
    seed: int = 0,
    stragglers: float = 0.0,
    dies_every_s: float = 0.0,
    preempted_every_s: float = 0.0,
    away_s: float = 0.0,
    lease_s: float = LEASE_S,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    flops_per_s: float = 0.0,
    vocab_size: int = 0,
    storage: str = STORAGE_DEFAULT,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> "Simulation":
    """Let pretended workers serve a study in virtual time, trainings looked up in a table: `growlab study simulate`.

    The study is a file, a shipped or a stored one, changed as `overrides` say; nothing is stored, and every decision is
    the real one. `table` is a file that `export_table` wrote, or my.py:objective. A pace of 0 is that of the table; a
    vocabulary of 0 is that of the study's text. Raises UsageError for what cannot be looked up.
    """
    from growlab.preparation.simulating import read_simulated
    from growlab.simulate.conditions import Conditions
    from growlab.simulate.run import simulate
    from growlab.simulate.source import trainings_of

    conditions = Conditions(
        n_workers=workers,
        seed=seed,
        stragglers=stragglers,
        dies_every_s=dies_every_s,
        preempted_every_s=preempted_every_s,
        away_s=away_s,
        lease_s=lease_s,
        checkpoint_every_s=checkpoint_every_s,
        flops_per_s=flops_per_s,
    )
    study, vocab_size = read_simulated(str(name_or_file), overrides, storage, plugins, vocab_size, tell)
    return simulate(study, trainings_of(str(table), study, tell), conditions, vocab_size)


def export_table(study: str, file: str | Path, *, storage: str = STORAGE_DEFAULT) -> int:
    """Write the trainings of a stored study as a table to simulate on: `growlab study export-table`. Returns how many.

    TSV, packed where the name ends with .xz, in the columns of growlab.trainings. Raises NotFound, and UsageError where
    no trial is over yet.
    """
    from growlab.report.trainings import write_trainings
    from growlab.storage import Store

    with Store.open(storage) as store:
        return write_trainings(store, store.study(study), Path(file))


def export(
    study: str,
    folder: str | Path,
    *,
    trial: int | None = None,
    to: str = "growlab",
    force: bool = False,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    plugins: Sequence[Path] = (),
) -> "Study":
    """Write a trial's config, weights, tokeniser and metrics into a new folder: the best trial's, unless one is named.

    To `hf` the folder is one that transformers loads without growlab (the extra hf), to `onnx` (the extra onnx) and
    `torch-export` it holds one program, of ids to logits. With `force` it may take the place
    of an earlier export. Returns the study as it is stored.
    """
    from growlab.export.targets import exporter
    from growlab.preparation.places import artifact_root
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        exporter(to, plugins)(store, row, trial, artifact_root(storage, artifacts), Path(folder), force=force)
    return row.study


def export_front(
    study: str,
    folder: str | Path,
    *,
    to: str = "growlab",
    force: bool = False,
    storage: str = STORAGE_DEFAULT,
    artifacts: Path | None = None,
    plugins: Sequence[Path] = (),
    tell: Tell = print,
) -> list[Path]:
    """Write every trial of a study's front into trial-N of a new folder, each as `export` does, and return those.

    Trials whose results a person told have no model, and are left out. Raises UsageError for a study with one objective
    and for a folder that holds something, NotFound for an empty front.
    """
    from growlab.export.targets import export_front, exporter
    from growlab.preparation.fronts import front_with_models
    from growlab.preparation.layout_metrics import read_front
    from growlab.preparation.places import artifact_root
    from growlab.storage import Store

    export, root = exporter(to, plugins), artifact_root(storage, artifacts)
    with Store.open(storage) as store:
        row = store.study(study)
        numbers = front_with_models(store, row, read_front(store, row, storage, plugins, tell), tell)
        return export_front(store, row, numbers, root, Path(folder), export=export, force=force)


def front(
    study: str, *, storage: str = STORAGE_DEFAULT, plugins: Sequence[Path] = (), tell: Tell = print
) -> dict[str, Any]:
    """Read the front of a study with several objectives or constraints.

    Its trials, the hypervolume and the reference point, and the rows of all trials with their values. Raises NotFound,
    and UsageError for a study with one objective.
    """
    from growlab.preparation.fronts import no_front
    from growlab.preparation.layout_metrics import read_front
    from growlab.report.front import front_as_mapping
    from growlab.report.leaderboard import read_leaderboard
    from growlab.storage import Store

    with Store.open(storage) as store:
        row = store.study(study)
        found = read_front(store, row, storage, plugins, tell)
        if found is None:
            raise no_front(study)
        return front_as_mapping(found, read_leaderboard(store, row.id, row.study.objective.metric, found))
