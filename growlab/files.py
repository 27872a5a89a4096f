"""Files that are whole or absent: written beside, flushed to the disk, renamed into place. And what a path is."""

import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from growlab.errors import UsageError

Content = bytes | memoryview
CHUNK = 1 << 20  # bytes that are read at once


def write_atomically(path: Path, content: Content | Iterable[Content]) -> str:
    """Write `content`, whole or in pieces, to `path` and return its sha256. A reader sees the old content or the new.

    Parent folders are made. Any number of processes may write one path: one of them, wholly, is the last.
    Raises OSError (disk full, no permission), and whatever making the pieces raises, with nothing left behind.
    """
    pieces = [content] if isinstance(content, bytes | memoryview) else content
    digest = hashlib.sha256()
    with whole_file(path) as beside, beside.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if all goes well, and else is gone. Whoever writes it flushes.

    Parent folders are made. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = place_beside(path)
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)


def place_beside(path: Path) -> Path:
    """A hidden place in the same folder, which no other process uses: what is built there can be renamed to `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file to read.

    Raises OSError, also for any other sort: a pipe is waited for, a device has no end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # else opening a pipe would wait already
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "it is a folder" if stat.S_ISDIR(mode) else "it is a pipe or a device"
        raise OSError(errno.EINVAL, f"{what}, not a regular file", str(path))
    return os.fdopen(handle, "rb")


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read all of a regular file. Raises OSError, also for a file of more than `max_bytes`."""
    with open_regular(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes // 1000:,} kB; give a smaller one", str(path))
    return content


def sha256_of(path: Path) -> str:
    """Hash a regular file's bytes, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def resolved(path: Path) -> Path:
    """Make a path absolute, links followed, whether or not it is there.

    Raises UsageError for what no file can have as its path.
    """
    try:
        return path.resolve()
    except RuntimeError:
        raise UsageError(f"{path}: a link in this path leads back to itself; mend the link, or give another") from None
    except ValueError as error:
        held = "half a surrogate pair" if isinstance(error, UnicodeEncodeError) else "a NUL"
        why = why_unnameable(error) or f"path {str(path)!r} holds {held}, which no path can; give one without"
        raise UsageError(why) from None


def is_utf8(text: str) -> bool:
    """Whether a text can be stored and sent: bytes of another encoding, in paths and arguments, are half surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def why_unnameable(error: Exception) -> str:
    """Explain an error that means that file names cannot have such letters under this locale, else ''."""
    locale = sys.getfilesystemencoding()
    if not isinstance(error, UnicodeEncodeError) or locale == "utf-8" or error.encoding != locale:
        return ""
    return f"this locale ({locale}) cannot name {error.object!r}; set LC_ALL=C.UTF-8"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
