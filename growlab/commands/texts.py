"""Where the texts of a stored study lie on this machine: as recorded, as somebody says, or as they are found."""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import say
from growlab.errors import DataError, UsageError

if TYPE_CHECKING:
    from growlab.specs import DataSpec, StageSpec
    from growlab.study import Study

Paths = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=PATH",
        help="Where the same text lies on this machine: data.path, data.tokenizer_path or curriculum.0.path.",
    ),
]

_KEYS = re.compile(r"data\.(path|tokenizer_path)|curriculum\.\d+\.path")


def are_paths(overrides: Iterable[str]) -> bool:
    return all(_KEYS.fullmatch(override.partition("=")[0]) for override in overrides)


def with_paths(study: "Study", overrides: Sequence[str]) -> "Study":
    """A stored study with the paths that `--set` gives. Raises UsageError for keys of anything else."""
    from growlab.moved import moves_between
    from growlab.study.column import study_to_mapping
    from growlab.study.overrides import apply_overrides
    from growlab.study.reading import study_from_mapping

    if not overrides:
        return study
    raw = study_to_mapping(study)
    apply_overrides(raw, overrides)
    here = study_from_mapping(raw)
    if not are_paths(overrides) or moves_between(study, here) is None:
        raise UsageError(
            f"study {study.name!r} is stored and stays as it is; --set says where its texts lie on this machine, "
            f"as data.path=FILE does, got {', '.join(overrides)}"
        )
    return here


def with_found_texts(study: "Study", storage: str, plugins: Sequence[Path] = ()) -> "Study":
    """With the paths at which the texts are found here; says which."""
    from growlab.moved import with_moved

    return with_moved(study, found_texts(study.data, study.curriculum, places(storage), plugins))


def found_texts(
    data: "DataSpec", curriculum: "Sequence[StageSpec]", folders: Sequence[Path], plugins: Sequence[Path] = ()
) -> dict[str, str]:
    """Recorded path to the place of each text that was found elsewhere; says which, and what to do if none was."""
    from growlab.moved import find_moved, paths_of

    moved = find_moved(data, curriculum, folders, partial(_loads, plugins))
    if moved is None:
        paths = ", ".join(f"{key} {path}" for key, path in paths_of(data, curriculum).items())
        say(f"warning: not as it was recorded: {paths}; say where it lies now, such as: --set data.path=FILE")
    for old, new in (moved or {}).items():
        say(f"{old} is not as it was recorded; the recorded one was found by its sha256: {new}")
    return moved or {}


def places(storage: str) -> list[Path]:
    """Folders near which a study's texts may lie: the database's, and the one we are in."""
    from growlab.files import resolved
    from growlab.storage.address import read_address

    database = read_address(storage).path
    return [*([resolved(database).parent] if database else []), Path.cwd()]


def path_words(recorded: "Study", here: "Study") -> list[str]:
    """The options that tell a worker where the texts of a stored study lie."""
    from growlab.moved import paths_of

    before, after = paths_of(recorded.data, recorded.curriculum), paths_of(here.data, here.curriculum)
    return [word for key in before if after[key] != before[key] for word in ("--set", f"{key}={after[key]}")]


def _loads(plugins: Sequence[Path], data: "DataSpec", curriculum: "Sequence[StageSpec]") -> bool:
    """Whether it is the recorded corpus."""
    from growlab.data import SOURCES, load_corpus
    from growlab.plugins import load_plugins

    if data.source not in SOURCES:
        load_plugins(plugins)
    try:
        load_corpus(data, curriculum)
    except DataError:
        return False
    return True
