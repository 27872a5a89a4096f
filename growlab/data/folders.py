"""A path is a file, or a folder: all files below it whose name ends so, in either case, by relative path.

Below a folder nothing is read that is hidden or that a tool left there: its copy of a text is that text once more, and
of another split. A file that is named itself is read whatever its name. What is not read is told by `unread_at`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

from growlab.errors import DataError, SpecError
from growlab.files import why_unnameable

_LEFT_BEHIND = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
_NAMED = 5  # of what is not read


class Unread(NamedTuple):
    name: str  # relative to the folder
    n_files: int


def files_at(path: str, suffix: str, source: str) -> list[Path]:
    """List the files at a path, at least one. Links to files are read, links to folders not entered.

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


def unread_at(path: str, suffix: str) -> str:
    """Say how many files of a folder are not read, and which: one line, its list bounded. '' for none, and for a file.

    Raises OSError.
    """
    root = Path(path)
    unread = _sorted_below(root, suffix)[1] if path and root.is_dir() else []
    if not unread:
        return ""
    n_files = sum(entry.n_files for entry in unread)
    return (
        f"{root}: {n_files} {'file is' if n_files == 1 else 'files are'} not read: {_named(unread)}; "
        f"only names that end in {suffix} are, and none that is hidden, left there by a tool or behind a linked folder"
    )


@contextmanager
def os_errors_named(label: str) -> Iterator[None]:
    """Turn an OSError inside into a DataError that names the file, or `label` where the error does not know it."""
    try:
        yield
    except PermissionError as error:
        raise DataError(f"{error.filename or label}: may not be read by this user; change its permissions") from None
    except UnicodeEncodeError as error:
        if reason := why_unnameable(error):
            raise DataError(reason) from None
        raise
    except OSError as error:  # a disk that fails while it is read names no file
        why = error.strerror or error
        raise DataError(f"{error.filename or label}: cannot be read: {why}; check data.path") from None


def _files_below(folder: Path, suffix: str) -> list[Path]:
    files, unread = _sorted_below(folder, suffix)
    if not files:
        others = f" (not read: {_named(unread)})" if unread else ""
        raise DataError(
            f"{folder}: has no {suffix} file in it or below it; check data.path, or name your files *{suffix}{others}"
        )
    return files


def _sorted_below(folder: Path, suffix: str) -> tuple[list[Path], list[Unread]]:
    """Sort the files below a folder into those that are read and those that are not, by relative path.

    os.walk, as Path.rglob passes over a subfolder that may not be read without a word.
    """
    files: list[Path] = []
    unread: list[Unread] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        entered = [name for name in folders if not (_is_left_behind(name) or Path(parent, name).is_symlink())]
        for name in set(folders) - set(entered):
            path = Path(parent, name)
            unread.append(Unread(f"{path.relative_to(folder).as_posix()}/", _n_files(path)))
        folders[:] = entered
        for name in names:
            path = Path(parent, name)
            if name.lower().endswith(suffix) and not _is_left_behind(name):
                files.append(path)
            else:
                unread.append(Unread(path.relative_to(folder).as_posix(), 1))
    files.sort(key=lambda file: file.relative_to(folder).as_posix())
    return files, sorted(entry for entry in unread if entry.n_files)


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name.endswith("~") or name in _LEFT_BEHIND


def _n_files(folder: Path) -> int:
    """Count files below a folder that is not read, as far as this user may look.

    A link may lead anywhere and counts as one.
    """
    return 1 if folder.is_symlink() else sum(len(names) for _, _, names in os.walk(folder))


def _named(unread: list[Unread]) -> str:
    more = f" and {len(unread) - _NAMED} more" if len(unread) > _NAMED else ""
    return ", ".join(map(_shown, unread[:_NAMED])) + more


def _shown(unread: Unread) -> str:
    """Show a name, which may hold anything, an escape sequence of a terminal too."""
    name = "".join(char if char.isprintable() else "\ufffd" for char in unread.name)
    return f"{name} ({unread.n_files})" if name.endswith("/") else name


def _raise(error: OSError) -> NoReturn:
    raise error
