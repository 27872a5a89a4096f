"""What can be rebuilt, kept in cache_dir(): a file, and a JSON beside it that says what the file must be.

The JSON is written last, so a half-written entry is one that is not there. Processes that build
the same entry at once write the same bytes, so it does not matter whose rename comes last.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from growlab.errors import DataError
from growlab.files import Content, sha256_of, write_atomically
from growlab.resources import cache_dir


class Entry(NamedTuple):
    path: Path
    about: Mapping[str, Any]  # what is in the JSON; only its sha256 is checked


def kept(name: str) -> Entry | None:
    """Find what is kept under this name if each of its bytes is as written, else None: build it again.

    The whole file is hashed: that is what it takes to notice one flipped bit.
    """
    path = entry_path(name)
    try:
        about = json.loads(entry_path(_about(name)).read_bytes())
        whole = sha256_of(path) == about["sha256"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or unreadable, no JSON, not this JSON
        return None
    return Entry(path, about) if whole else None


def keep(name: str, content: Iterable[Content], about: Mapping[str, str | int]) -> Entry:
    """Keep what the pieces of `content` are together, with `about` and its sha256 in the JSON beside it.

    `about` is read when the last piece is written: whoever makes the pieces may still fill it. Nothing
    is kept when making them fails. Raises DataError when the cache cannot be written.
    """
    sha256 = put(name, content)
    described = {**about, "sha256": sha256}
    put(_about(name), json.dumps(described, indent=2).encode())
    return Entry(entry_path(name), described)


def put(name: str, content: Content | Iterable[Content]) -> str:
    """Write one file of the cache and return its sha256. Raises DataError when it cannot be written."""
    try:
        return write_atomically(entry_path(name), content)
    except OSError as error:
        raise DataError(
            f"{entry_path(name)}: cannot be written to the cache: {error.strerror}; "
            "make room there, or set GROWLAB_CACHE to a folder that takes it"
        ) from None


def entry_path(name: str) -> Path:
    """The path at which an entry lies, if it is there."""
    return cache_dir() / "data" / name


def _about(name: str) -> str:
    return f"{name}.json"
