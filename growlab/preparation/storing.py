"""A study of a database by its name or its file: found, created, or wanting more trials."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlab.errors import StorageError, UsageError
from growlab.preparation.sources import is_new, is_stored, read_study
from growlab.preparation.telling import Tell
from growlab.preparation.texts import are_paths, with_paths

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow
    from growlab.study import Study

CHANGEABLE = "n_trials=N, budget.study.UNIT=X, stop_when.LOSS=X, objectives=[METRIC, …], constraints.METRIC.at_most=X"
_SECTIONS = ("stop_when", "objective", "objectives", "constraints")  # that can be changed, besides n_trials and budget


def find_or_create(
    store: "Store", name_or_file: str, overrides: Sequence[str], new_name: str, plugins: Sequence[Path], tell: Tell
) -> "StudyRow":
    """Find a study by name, or the one in a file: created, or gone on with if it is there and the same.

    Its texts may lie elsewhere by now: the paths are then those of the file, or of `overrides`. Raises UsageError for
    a study that is another one than the stored one of its name.
    """
    from growlab.moved import moves_between
    from growlab.preparation.checking import prepare
    from growlab.preparation.differences import not_the_same, stored_alone
    from growlab.preparation.transferring import with_transferred

    known = {summary.name for summary in store.studies()}
    if is_stored(name_or_file, known):
        if are_paths(overrides) and not new_name:
            row = store.study(name_or_file)
            return replace(row, study=with_paths(row.study, overrides))
        if not is_new(name_or_file):
            raise stored_alone(name_or_file, overrides, new_name, store.options)
    study, _ = prepare(read_study(name_or_file, overrides, new_name, plugins), plugins, tell)
    try:
        if study.name not in known:
            store.create_study(with_transferred(store, study, tell))
            tell(f"created study {study.name!r} in {store.url}")
            return store.study(study.name)
    except StorageError:  # another process was faster; join it if it made the same study
        if study.name not in {summary.name for summary in store.studies()}:
            raise
    row = store.study(study.name)
    study = replace(study, sampler=replace(study.sampler, transferred=row.study.sampler.transferred))
    if moves_between(row.study, study) is None:
        raise not_the_same(row.study, study, name_or_file, store.options)
    return replace(row, study=study)


def changed(study: "Study", change: str, plugins: Sequence[Path]) -> "Study":
    """Give a study as `change`, a KEY=VALUE, makes it: its number of trials, its own budget, its target, or what its
    trials are judged by.

    Raises UsageError for another key, or where more trials cannot be drawn.
    """
    from growlab.plugins import load_plugins
    from growlab.preparation.checking import check
    from growlab.samplers import SAMPLERS
    from growlab.search import sampler_options
    from growlab.study.column import study_from_column, study_to_mapping
    from growlab.study.limits_section import with_n_trials
    from growlab.study.objectives_section import SECTIONS as JUDGING
    from growlab.study.objectives_section import read_constraints, read_objectives, write_judging
    from growlab.study.overrides import apply_overrides

    key = change.partition("=")[0]
    if not can_be_changed(key):
        raise UsageError(
            f"{key!r} of a stored study cannot be changed, as its trials were made with it: {CHANGEABLE} alone can. "
            "Make another study of its file, with --set and --name"
        )
    mapping = study_to_mapping(study)
    if key == "budget.study.trials":
        key, change = "n_trials", change.replace("budget.study.trials", "n_trials", 1)
    apply_overrides(mapping, [change])
    judges = key.partition(".")[0] in JUDGING
    if judges or study.sampler.name not in SAMPLERS:
        load_plugins(plugins)
    if judges:  # a person's words, unlike the rest
        judging = write_judging(read_objectives(mapping), read_constraints(mapping))
        mapping = {section: value for section, value in mapping.items() if section not in JUDGING} | judging
    new = study_from_column(with_n_trials(mapping))
    draws_from_now_on = study.n_proposals <= sampler_options(study).n_first(study) < new.n_proposals
    if judges or draws_from_now_on:
        check(new, plugins)
    return new


def unmeasured(store: "Store", row: "StudyRow") -> list[str]:
    """Notes for a person, one for each metric of the study that completed trials have no value of."""
    from growlab.metrics import name_of, tells
    from growlab.records import TrialState

    past = [trial for trial in store.past_trials(row.id, row.study.metrics) if trial.state is TrialState.COMPLETED]
    notes = []
    for key in row.study.metrics:
        n = sum(key not in trial.metrics for trial in past)
        if n and not tells(name_of(key)):
            notes.append(
                f"{n} of {len(past)} completed trial(s) have no {key}: it was not recorded as they were trained"
            )
    return notes


def can_be_changed(key: str) -> bool:
    """Whether a stored study may have another value of this key: no trial that it has was made with it."""
    return key in ("n_trials", "budget.study") or key.startswith("budget.study.") or key.partition(".")[0] in _SECTIONS


def changes_between(before: "Study", after: "Study") -> dict[str, Any]:
    """The sections that differ, of those that a change may set; None for one that there is no more."""
    from growlab.study.column import study_to_mapping

    old, new = study_to_mapping(before), study_to_mapping(after)
    return {key: new.get(key) for key in ("n_trials", "budget", *_SECTIONS) if new.get(key) != old.get(key)}
