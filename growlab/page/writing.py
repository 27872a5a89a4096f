"""The page as a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import NotFound, UsageError
from growlab.escapes import quoted
from growlab.files import resolved, write_atomically
from growlab.page.page import page_of
from growlab.page.script import drawing_script

if TYPE_CHECKING:
    from growlab.notebook import LoadedStudy


def write_page(study: "LoadedStudy", file: Path, *, force: bool = False) -> int:
    """Write a study's page, whole or not at all, and return its size in bytes.

    Raises UsageError for a file that is there, unless `force`, and for one that cannot be written; NotFound for a study
    without trials.
    """
    target = resolved(file)
    if target.is_dir():
        raise UsageError(f"{file} is a folder; give the name of a file in it, such as {file / 'report.html'}")
    if target.exists() and not force:
        raise UsageError(f"{file} is there already; choose another name, or replace it with --force")
    if study.trials().empty:
        raise NotFound(f"study {quoted(study.name)} has no trial yet; run it first: growlab study run {study.name}")
    content = page_of(study, drawing_script()).encode()
    try:
        write_atomically(target, content)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; choose a folder that you may write to") from None
    return len(content)
