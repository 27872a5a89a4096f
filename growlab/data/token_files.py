"""nanoGPT's .bin: token ids of two bytes each, the lower first, and nothing else.

Its meta.pkl is never read: pickle runs code.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from growlab.data.folders import files_at
from growlab.errors import DataError

DTYPE = np.dtype("<u2")
_PIECE = 1 << 24  # bytes


def token_files(path: str) -> list[Path]:
    """A file, or all .bin files below a folder: train.bin comes before val.bin. Raises DataError and OSError."""
    files = files_at(path, ".bin", "bin")
    for file in files:
        if file.stat().st_size % DTYPE.itemsize:
            raise DataError(f"{file}: has an odd number of bytes, ids of two bytes were expected; take another copy")
    if not sum(file.stat().st_size for file in files):
        raise DataError(f"{path}: is empty; give a file with token ids in it")
    return files


def token_pieces(files: list[Path]) -> Iterator[NDArray[np.uint16]]:
    """All ids in order, a few million at a time."""
    for file in files:
        with file.open("rb") as stream:
            while content := stream.read(_PIECE):
                yield np.frombuffer(content, dtype=DTYPE)


def checked(files: list[Path], vocab_size: int) -> str:
    """The sha256 of the ids. Raises DataError for an id that is none of `vocab_size`, and OSError."""
    sha256, n_before = hashlib.sha256(), 0
    for ids in token_pieces(files):
        if ids.max() >= vocab_size:
            at = int(np.argmax(ids >= vocab_size))
            raise DataError(
                f"{files[0] if len(files) == 1 else files[0].parent}: token {n_before + at} is {ids[at]}, "
                f"but there are {vocab_size} ids, the first 0; check data.vocab_size or data.tokenizer_path"
            )
        sha256.update(ids.data)
        n_before += ids.size
    return sha256.hexdigest()
