"""Files that are whole or absent: written beside, flushed to the disk, renamed into place. And what a path is."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from growlab.errors import UsageError

Content = bytes | memoryview


def write_atomically(path: Path, content: Content | Iterable[Content]) -> str:
    """Write `content`, whole or in pieces, to `path` and return its sha256. A reader sees the old content or the new.

    Parent folders are made. Any number of processes may write one path: one of them, wholly, is the last.
    Raises OSError (disk full, no permission), and whatever making the pieces raises, with nothing left behind.
    """
    pieces = [content] if isinstance(content, bytes | memoryview) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    digest = hashlib.sha256()
    try:
        with beside.open("xb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Of a file's bytes, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolved(path: Path) -> Path:
    """Absolute, links followed, whether or not it is there. Raises UsageError for what no file can have as its path."""
    try:
        return path.resolve()
    except RuntimeError:
        raise UsageError(f"{path}: a link in this path leads back to itself; mend the link, or give another") from None
    except ValueError:
        raise UsageError(f"path {str(path)!r} holds a NUL, which no path can; give one without") from None


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
