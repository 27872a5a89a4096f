"""A study of a database by its name or its file: found, created, or wanting more trials."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import StorageError, UsageError
from growlab.preparation.sources import is_new, is_stored, read_study
from growlab.preparation.telling import Tell
from growlab.preparation.texts import are_paths, with_paths

if TYPE_CHECKING:
    from growlab.storage import Store, StudyRow
    from growlab.study import Study


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
            store.create_study(study)
            tell(f"created study {study.name!r} in {store.url}")
            return store.study(study.name)
    except StorageError:  # another process was faster; join it if it made the same study
        if study.name not in {summary.name for summary in store.studies()}:
            raise
    row = store.study(study.name)
    if moves_between(row.study, study) is None:
        raise not_the_same(row.study, study, name_or_file, store.options)
    return replace(row, study=study)


def wanted_trials(study: "Study", change: str, plugins: Sequence[Path]) -> int:
    """Read the number of trials that `change`, as n_trials=N, asks for.

    Raises UsageError for another key, or where more cannot be drawn.
    """
    from growlab.plugins import load_plugins
    from growlab.preparation.checking import check
    from growlab.samplers import SAMPLERS
    from growlab.search import sampler_options
    from growlab.study.column import study_from_column, study_to_mapping
    from growlab.study.overrides import apply_overrides

    key = change.partition("=")[0]
    if key != "n_trials":
        raise UsageError(
            f"{key!r} of a stored study cannot be changed, as its trials were made with it: n_trials=N alone can. "
            "Make another study of its file, with --set and --name"
        )
    mapping = study_to_mapping(study)
    apply_overrides(mapping, [change])
    changed = study_from_column(mapping)
    if study.sampler.name not in SAMPLERS:
        load_plugins(plugins)
    if (
        study.n_proposals <= sampler_options(study).n_first(study) < changed.n_proposals
    ):  # from now on layouts are drawn too
        check(changed, plugins)
    return changed.n_trials
