"""Where the texts of a stored study lie on this machine: as recorded, as somebody says, or as they are found."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import DataError, UsageError
from growlab.preparation.places import folders_near
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.specs import DataSpec, StageSpec
    from growlab.study import Study

_KEYS = re.compile(r"data\.(path|val_path|tokenizer_path)|curriculum\.\d+\.path")


def are_paths(overrides: Iterable[str]) -> bool:
    """Whether every override, as KEY=VALUE, is of a key that says where a text lies."""
    return all(_KEYS.fullmatch(override.partition("=")[0]) for override in overrides)


def with_paths(study: "Study", overrides: Sequence[str]) -> "Study":
    """Give a stored study the paths of `--set`. Raises UsageError for keys of anything else."""
    from growlab.moved import moves_between
    from growlab.study.column import study_from_column, study_to_mapping
    from growlab.study.overrides import apply_overrides

    if not overrides:
        return study
    raw = study_to_mapping(study)
    apply_overrides(raw, overrides)
    here = study_from_column(raw)
    if not are_paths(overrides) or moves_between(study, here) is None:
        raise UsageError(
            f"study {study.name!r} is stored and stays as it is; --set says where its texts lie on this machine, "
            f"as data.path=FILE does, got {', '.join(overrides)}"
        )
    return here


def with_texts_here(
    study: "Study", overrides: Sequence[str], storage: str, plugins: Sequence[Path], tell: Tell
) -> "Study":
    """Give a stored study the paths that `--set` says, and for other texts those at which they are found here."""
    return with_found_texts(with_paths(study, overrides), storage, plugins, tell)


def with_found_texts(study: "Study", storage: str, plugins: Sequence[Path], tell: Tell) -> "Study":
    """Give a stored study the paths at which its texts are found here; tells which."""
    from growlab.moved import with_moved

    moved = found_texts(study.data, study.curriculum, folders_near(storage), plugins, tell)
    return with_moved(study, moved)


def found_texts(
    data: "DataSpec", curriculum: "Sequence[StageSpec]", folders: Sequence[Path], plugins: Sequence[Path], tell: Tell
) -> dict[str, str]:
    """Find the texts that lie elsewhere, as recorded path to path here.

    Tells which, and what to do if none was found.
    """
    from growlab.moved import find_moved, paths_of

    moved = find_moved(data, curriculum, folders, partial(_loads, plugins))
    if moved is None:
        paths = ", ".join(f"{key} {path}" for key, path in paths_of(data, curriculum).items())
        tell(f"warning: not as it was recorded: {paths}; say where it lies now, such as: --set data.path=FILE")
    for old, new in (moved or {}).items():
        tell(f"{old} is not as it was recorded; the recorded one was found by its sha256: {new}")
    return moved or {}


def _loads(plugins: Sequence[Path], data: "DataSpec", curriculum: "Sequence[StageSpec]") -> bool:
    """Whether the recorded corpus loads from these paths."""
    from growlab.data import SOURCES, load_corpus
    from growlab.plugins import load_plugins

    if data.source not in SOURCES:
        load_plugins(plugins)
    try:
        load_corpus(data, curriculum)
    except DataError:
        return False
    return True
