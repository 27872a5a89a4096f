"""A text is the one that was recorded, or an error says which it is and what to do."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from growlab.data.folders import os_errors_named
from growlab.data.sources import Source
from growlab.errors import DataError, SpecError
from growlab.specs import DataSpec, StageSpec


def unread_notes(source: Source, paths: Sequence[str]) -> tuple[str, ...]:
    """Say what of the folders at these paths is not read, a line each."""
    return tuple(note for path in dict.fromkeys(paths) if path and (note := source.unread(path)))


def require_recorded(source: Source, spec: DataSpec, sha256: str) -> None:
    """Raise DataError for another corpus than the one that the spec recorded, if it did."""
    if spec.sha256 not in ("", sha256):
        unread = "".join(f" ({note.partition('; ')[0]})" for note in unread_notes(source, [spec.path]))
        raise DataError(
            f"{source.label(spec.path)}: is not the corpus that this trial recorded: "
            f"sha256 {sha256[:12]}…, recorded {spec.sha256[:12]}…{unread}; "
            "bring the recorded text back, or make a new study of this one with --set data.sha256="
        )


def require_stage(source: Source, stage: StageSpec, sha256: str, main_sha256: str) -> None:
    """Raise DataError for another text than the recorded one, and for the main one, val and test included."""
    if stage.sha256 not in ("", sha256):
        raise DataError(
            f"{source.label(stage.path)}: is not the text that this trial recorded: "
            f"sha256 {sha256[:12]}…, recorded {stage.sha256[:12]}…; bring the recorded text back, or make a new study"
        )
    if sha256 == main_sha256:
        raise DataError(
            f"{source.label(stage.path)}: is the study's own data, val and test included; leave the stage's path out "
            "to train on its train split"
        )


def require_val(spec: DataSpec, sha256: str, main_sha256: str) -> None:
    """Raise DataError for another text than the recorded one, and for the one that is trained on."""
    if spec.val_sha256 not in ("", sha256):
        raise DataError(
            f"data.val_path: {spec.val_path}: is not the text that this trial recorded: sha256 {sha256[:12]}…, "
            f"recorded {spec.val_sha256[:12]}…; bring it back, or make a new study with --set data.val_sha256="
        )
    if sha256 == main_sha256:
        raise DataError(f"data.val_path: {spec.val_path}: is what is trained on, so it judges nothing; give another")


def stage_named(at: int, label: str) -> AbstractContextManager[None]:
    """Name the stage in whatever error is raised within."""
    return named(f"curriculum[{at}]", f"curriculum[{at}].path", label)


@contextmanager
def named(place: str, key: str, label: str) -> Iterator[None]:
    """Name the place in a study, and the key to check, in whatever error is raised within."""
    try:
        with os_errors_named(label):
            yield
    except (DataError, SpecError) as error:
        message = str(error).replace("check data.path", f"check {key}")
        raise type(error)(f"{place}: {message}") from None
