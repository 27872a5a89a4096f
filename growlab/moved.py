"""Texts that lie elsewhere than where they were recorded: their folder was moved, or this is another machine.

What is recorded of a text is its absolute path and its sha256. If a folder above it was moved or copied, the end of
the path is still right: it is tried below a few folders, each end of it, and what is there must have the sha256.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from growlab.specs import DataSpec, StageSpec, TrialSpec
from growlab.study import Study
from growlab.study.column import study_to_mapping

Moved = Mapping[str, str]  # recorded path → where the same text, or tokenizer, lies here
Loads = Callable[[DataSpec, Sequence[StageSpec]], bool]
Spec = TypeVar("Spec", Study, TrialSpec)


def paths_of(data: DataSpec, curriculum: Sequence[StageSpec]) -> dict[str, str]:
    """The paths of all texts by their keys, such as data.path or curriculum.0.path."""
    is_named = data.source == "hf"  # no path, a name
    paths = {
        "data.path": "" if is_named else data.path,
        "data.val_path": "" if is_named else data.val_path,
        "data.tokenizer_path": data.tokenizer_path,
    }
    paths |= {f"curriculum.{at}.path": stage.path for at, stage in enumerate(curriculum)}
    return {key: path for key, path in paths.items() if path}


def moved_data(data: DataSpec, curriculum: Sequence[StageSpec], moved: Moved) -> tuple[DataSpec, tuple[StageSpec, ...]]:
    """Replace the paths of data and stages by those that hold here."""
    paths = ("path", "val_path", "tokenizer_path")
    elsewhere = {key: moved.get(path, path) for key, path in ((key, getattr(data, key)) for key in paths)}
    stages = tuple(replace(stage, path=moved.get(stage.path, stage.path)) for stage in curriculum)
    return replace(data, **elsewhere), stages


def with_moved(spec: Spec, moved: Moved) -> Spec:
    """Replace the paths of a study, or of a trial, by those that hold here."""
    data, curriculum = moved_data(spec.data, spec.curriculum, moved)
    return replace(spec, data=data, curriculum=curriculum)


def moves_between(recorded: Study, here: Study) -> dict[str, str] | None:
    """The moves that make one study of the other. None where they differ in more than where the same texts lie."""
    before = paths_of(recorded.data, recorded.curriculum)
    after = paths_of(here.data, here.curriculum)
    moved = {path: after[key] for key, path in before.items() if after.get(key, path) != path}
    return moved if study_to_mapping(with_moved(recorded, moved)) == study_to_mapping(here) else None


def find_moved(
    data: DataSpec, curriculum: Sequence[StageSpec], folders: Iterable[Path], loads: Loads
) -> dict[str, str] | None:
    """Find the texts that are not at their paths, by sha256, below `folders` and the folders that hold these.

    None when they are not found. `loads` is asked whether all is as it was recorded: not as long as every path is there
    and no other place comes into question.
    """
    paths = list(paths_of(data, curriculum).values())
    candidates = list(_candidates(paths, folders)) if _all_recorded(data, curriculum) else []
    if not candidates and all(map(os.path.lexists, paths)):
        return {}
    if loads(data, curriculum):
        return {}
    return next((moved for moved in candidates if loads(*moved_data(data, curriculum, moved))), None)


def _candidates(paths: Sequence[str], folders: Iterable[Path]) -> Iterator[dict[str, str]]:
    """Yield moves as if one of the folders above a text had been moved to each of `folders`, the outermost first."""
    roots = list(dict.fromkeys(root for path in paths for root in reversed(Path(path).parents)))
    for place in dict.fromkeys(near for folder in folders for near in (folder, folder.parent)):
        for root in roots:
            below = [path for path in paths if Path(path).is_relative_to(root)]
            moved = {path: str(place / Path(path).relative_to(root)) for path in below}
            if found := {old: new for old, new in moved.items() if new != old and os.path.lexists(new)}:
                yield found


def _all_recorded(data: DataSpec, curriculum: Sequence[StageSpec]) -> bool:
    """Whether every text has a recorded hash, so that another one would be noticed."""
    hashes = [
        data.sha256,
        *([data.val_sha256] if data.val_path else []),
        *(stage.sha256 for stage in curriculum if stage.path),
    ]
    return all([*hashes, data.tokenizer_sha256] if data.tokenizer_path else hashes)
