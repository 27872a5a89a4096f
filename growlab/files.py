"""Files that are whole or absent: written beside, flushed to the disk, renamed into place."""

import hashlib
import os
import secrets
from pathlib import Path

_CHUNK = 1 << 20


def write_atomically(path: Path, content: bytes | memoryview) -> str:
    """Write `content` to `path` and return its sha256. A reader sees the old content or the new, never a part.

    Parent folders are made. Any number of processes may write one path: one of them, wholly, is the last.
    Raises OSError (disk full, no permission) with nothing left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return hashlib.sha256(content).hexdigest()


def sha256_of(path: Path) -> str:
    """Of a file's bytes, read in pieces. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
