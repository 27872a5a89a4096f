"""What can be rebuilt, kept in cache_dir(): a file, and a JSON beside it that says what the file must be.

The JSON is written last, so a half-written entry is one that is not there. Processes that build
the same entry at once write the same bytes, so it does not matter whose rename comes last.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from growlab.errors import DataError
from growlab.files import write_atomically
from growlab.resources import cache_dir


def kept(name: str) -> Path | None:
    """The file kept under this name if each of its bytes is as written, else None: build it again.

    The whole file is hashed: that is what it takes to notice one flipped bit.
    """
    path = _place(name)
    try:
        about = json.loads(_beside(path).read_bytes())
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == about["sha256"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or unreadable, no JSON, not this JSON
        return None
    return path if whole else None


def keep(name: str, content: bytes | memoryview, about: Mapping[str, str | int]) -> Path:
    """Keep `content` under this name, with `about` and its sha256 in the JSON beside it.

    Raises DataError when the cache cannot be written.
    """
    path = _place(name)
    described = {**about, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        write_atomically(path, content)
        write_atomically(_beside(path), json.dumps(described, indent=2).encode())
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written to the cache: {error.strerror}; "
            "make room there, or set GROWLAB_CACHE to a folder that takes it"
        ) from None
    return path


def _place(name: str) -> Path:
    return cache_dir() / "data" / name


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
