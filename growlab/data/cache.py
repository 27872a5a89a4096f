"""What can be rebuilt, kept in cache_dir(): a file, and a JSON beside it that says what the file must be.

The JSON is written last, so a half-written entry is one that is not there. Processes that build
the same entry at once write the same bytes, so it does not matter whose rename comes last.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from growlab.errors import DataError
from growlab.files import write_atomically
from growlab.resources import cache_dir


class Entry(NamedTuple):
    path: Path
    about: Mapping[str, Any]  # what is in the JSON; only its sha256 is checked


def kept(name: str) -> Entry | None:
    """What is kept under this name if each of its bytes is as written, else None: build it again.

    The whole file is hashed: that is what it takes to notice one flipped bit.
    """
    path = _place(name)
    try:
        about = json.loads(_beside(path).read_bytes())
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == about["sha256"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or unreadable, no JSON, not this JSON
        return None
    return Entry(path, about) if whole else None


def keep(name: str, content: Iterable[bytes | memoryview], about: Mapping[str, str | int]) -> Entry:
    """Keep what the pieces of `content` are together, with `about` and its sha256 in the JSON beside it.

    `about` is read when the last piece is written: whoever makes the pieces may still fill it. Nothing
    is kept when making them fails. Raises DataError when the cache cannot be written.
    """
    path = _place(name)
    try:
        sha256 = _write_pieces(path, content)
        described = {**about, "sha256": sha256}
        write_atomically(_beside(path), json.dumps(described, indent=2).encode())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written to the cache: {error.strerror}; "
            "make room there, or set GROWLAB_CACHE to a folder that takes it"
        ) from None
    return Entry(path, described)


def _write_pieces(path: Path, pieces: Iterable[bytes | memoryview]) -> str:
    """write_atomically for what need not fit into memory. The sha256 of it all."""
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
    return digest.hexdigest()


def _place(name: str) -> Path:
    return cache_dir() / "data" / name


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
