"""A path is a file, or a folder: all files below it whose name ends so, by relative path."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from growlab.errors import DataError, SpecError
from growlab.files import why_unnameable


def files_at(path: str, suffix: str, source: str) -> list[Path]:
    """At least one. Links to files are read, links to folders not entered.

    Raises SpecError without a path, DataError for a folder without such files and for what is no file, and OSError.
    """
    if not path:
        raise SpecError(f"source {source!r} needs a path, got ''; set data.path to a {suffix} file or a folder of them")
    root = Path(path)
    files = _files_below(root, suffix) if root.is_dir() else [root]
    for file in files:
        if file.exists() and not file.is_file():  # a pipe waits for ever, and is empty when it is read again
            raise DataError(f"{file}: is no regular file, and a corpus is read more than once; write it into a file")
    return files


@contextmanager
def os_errors_named(place: str) -> Iterator[None]:
    """An OSError inside is a DataError that names the file, or `place` where the error does not know it."""
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{error.filename or place}: may not be read by this user; change its permissions") from None
    except UnicodeEncodeError as error:
        if reason := why_unnameable(error):
            raise DataError(reason) from None
        raise
    except OSError as error:  # a disk that fails while it is read names no file
        why = error.strerror or error
        raise DataError(f"{error.filename or place}: cannot be read: {why}; check data.path") from None


def _files_below(folder: Path, suffix: str) -> list[Path]:
    """os.walk, as Path.rglob passes over a subfolder that may not be read without a word."""
    files = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=_raise)
        for name in names
        if name.endswith(suffix)
    ]
    if not files:
        raise DataError(
            f"{folder}: has no {suffix} file in it or below it; check data.path, or name your files *{suffix}"
        )
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _raise(error: OSError) -> NoReturn:
    raise error
