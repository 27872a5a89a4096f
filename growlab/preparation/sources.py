"""A study's file, a shipped study or a stored one: which of them a word means, and reading it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import StorageError, UsageError, did_you_mean
from growlab.escapes import quoted
from growlab.resources import shipped_studies
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.study import Study


_OF_TEXTS = (".txt", ".md", ".csv", ".jsonl", ".parquet", ".pdf", ".docx")


def read_study(file: str, overrides: Sequence[str], name: str = "", plugins: Sequence[Path] = ()) -> "Study":
    """Read the study in a file, or the shipped one of that name; `name` is instead of its own.

    Loads torch: a file may name what only the tables of growth, and `plugins`, know. Raises SpecError, UsageError.
    """
    from growlab.plugins import load_plugins
    from growlab.study.file import read_study_file

    path, shipped = Path(file), shipped_studies()
    if not path.is_file() and file in shipped:
        path = shipped[file]
    if path.is_dir() or path.suffix.lower() in _OF_TEXTS:
        raise UsageError(
            f"{quoted(file)} is no study file; if it is a text, write a study of it: {command('init', file)}"
        )
    if not path.exists():  # what is no regular file says so when it is opened
        raise UsageError(
            f"no study file {quoted(file)}; shipped studies: {', '.join(shipped)}.{did_you_mean(file, shipped)}"
        )
    load_plugins(plugins)
    study = read_study_file(path, overrides)
    return replace(study, name=name) if name else study


def is_new(name_or_file: str) -> bool:
    """Whether a study can be read from it: a file, or the name of a shipped study."""
    return Path(name_or_file).is_file() or name_or_file in shipped_studies()


def require_named(name_or_file: str) -> None:
    """Raise UsageError for a word that can be no study's name but a file's, and there is no such file; for a folder."""
    if Path(name_or_file).is_dir():
        raise UsageError(
            f"{quoted(name_or_file)} is a folder, and no study; if it holds texts, write a study of them: "
            f"{command('init', name_or_file)}"
        )
    if Path(name_or_file).suffix.lower() in (".yaml", ".yml", *_OF_TEXTS) and not Path(name_or_file).exists():
        shipped = shipped_studies()
        raise UsageError(
            f"no study file {quoted(name_or_file)}; shipped studies: {', '.join(shipped)}."
            f"{did_you_mean(name_or_file, shipped)}"
        )


def is_stored(name_or_file: str, known: Iterable[str]) -> bool:
    """Whether a word means one of the `known` studies of a database: a file comes first, a shipped study last.

    Raises UsageError when it means none of them.
    """
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


def stored_study(name: str, storage: str) -> "Study | None":
    """The stored study that a word means; None of a file, of a shipped study, and where there is no database."""
    from growlab.storage import Store

    try:
        store = Store.open(storage)
    except StorageError:
        return None
    with store:
        known = {summary.name for summary in store.studies()}
        return store.study(name).study if is_stored(name, known) else None
