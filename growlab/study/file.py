"""A YAML file becomes a study."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from growlab.domains import Fixed
from growlab.errors import SpecError, UnknownName
from growlab.study.overrides import apply_overrides
from growlab.study.paths import absolute, is_path
from growlab.study.reading import study_from_mapping
from growlab.study.study import Study
from growlab.yaml_file import read_yaml


def read_study_file(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read a study, with `key.path=value` overrides applied. Relative data paths are meant from the file's folder.

    Raises SpecError, whose message begins with the file's name.
    """
    try:
        raw = read_yaml(path)
        apply_overrides(raw, overrides)
        study = study_from_mapping(raw)
    except (SpecError, UnknownName) as error:
        raise SpecError(f"{path}: {error}") from None
    return with_absolute_paths(study, path.parent)


def with_absolute_paths(study: Study, folder: Path) -> Study:
    """A study whose texts' relative paths are meant from `folder`."""
    data = study.data
    if data.path and is_path(data.source, "path"):
        data = replace(data, path=absolute(folder, data.path))
    if data.val_path and is_path(data.source, "path"):
        data = replace(data, val_path=absolute(folder, data.val_path))
    if data.tokenizer_path:
        data = replace(data, tokenizer_path=absolute(folder, data.tokenizer_path))
    curriculum = study.curriculum
    if is_path(data.source, "path"):
        curriculum = tuple(
            replace(stage, path=stage.path and absolute(folder, stage.path)) for stage in study.curriculum
        )
    train, init_from = study.train, study.train["init_from"]
    if isinstance(init_from, Fixed) and init_from.value:
        train = {**train, "init_from": Fixed(value=absolute(folder, str(init_from.value)))}
    return replace(study, data=data, curriculum=curriculum, train=train)
