"""Files of token ids that somebody else's tokenizer made, and nothing else, the lowest byte of each first.

    nanoGPT's .bin                  ids of two bytes
    the same with data.dtype        ids of two or four bytes, whatever they look like
    a shard of llm.c, modded-nanogpt  a header of 1,024 bytes, which says the width; then the ids

nanoGPT's meta.pkl is never read: pickle runs code.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from growlab.data.folders import files_at
from growlab.data.tokens import Ids
from growlab.errors import DataError

_DTYPES: dict[str, np.dtype[Any]] = {"auto": np.dtype("<u2"), "uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
_WIDTHS = {2: "two", 4: "four"}
_PIECE = 1 << 24  # bytes

_HEADER = 1024  # bytes: 256 numbers of four, of which the first is the format, the second its version, the third n_ids
_HEADED: dict[int, np.dtype[Any]] = {20240520: np.dtype("<u2"), 20240801: np.dtype("<u4")}
_OTHERS = {
    b"\x93NUMPY": "a NumPy file",
    b"PK\3\4": "a zip archive, as PyTorch's files are",
    b"\x1f\x8b\x08": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
}
_SAMPLE = 1 << 20  # bytes at a file's beginning that tell its width
_FEWEST = 64  # numbers of two bytes; of fewer chance could make every second one 0
_HIGHEST = 16  # more than the upper two bytes of an id below 2**20


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    path: Path
    dtype: np.dtype[Any]
    n_ids: int
    offset: int  # bytes before the first id
    magic: int  # what its header begins with, 0 without one

    def pieces(self) -> Iterator[NDArray[Any]]:
        """Yield all ids in order, a few million at a time."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            while content := stream.read(_PIECE):
                yield np.frombuffer(content, dtype=self.dtype)

    def mapped(self) -> Ids:
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset)


def token_files(path: str) -> list[Path]:
    """List a file, or all .bin files below a folder: train.bin comes before val.bin. Raises DataError and OSError."""
    return files_at(path, ".bin", "bin")


def read_token_files(paths: Sequence[Path], dtype: str) -> list[TokenFile]:
    """Map what the files hold, as data.dtype says it or, where that is auto, as they do themselves.

    Raises DataError for files that hold no ids, ids of another width than that, or ids of several widths; and OSError.
    """
    files = [_token_file(path, dtype) for path in paths]
    if not sum(file.n_ids for file in files):
        raise DataError(f"{_label(files)}: is empty; give a file with token ids in it")
    for file in files[1:]:
        if file.dtype != files[0].dtype:
            raise DataError(
                f"{file.path}: has ids of {_width(file)} bytes, but {files[0].path} has ids of {_width(files[0])}; "
                "give files of one width"
            )
    return files


def checked(files: Sequence[TokenFile], vocab_size: int) -> str:
    """Hash the ids of the files. Raises DataError for an id that is none of `vocab_size`, and OSError."""
    sha256, n_before = hashlib.sha256(), 0
    for ids in (ids for file in files for ids in file.pieces()):
        if ids.max() >= vocab_size:
            at = int(np.argmax(ids >= vocab_size))
            raise DataError(
                f"{_label(files)}: token {n_before + at} is {ids[at]}, but there are {vocab_size} ids, the first 0; "
                "check data.vocab_size or data.tokenizer_path, and that data.dtype is the width of the file's ids"
            )
        sha256.update(ids.data)
        n_before += ids.size
    return sha256.hexdigest()


def header_note(files: Sequence[TokenFile]) -> str:
    """Say what became of the headers of files; '' where they have none."""
    headed = [file for file in files if file.magic]
    if not headed:
        return ""
    where = str(headed[0].path) if len(headed) == 1 else f"{_label(headed)}: {len(headed)} files"
    header = f"llm.c / modded-nanogpt header of {_HEADER:,} bytes (int32 {headed[0].magic})"
    if headed[0].offset:
        n_ids = sum(file.n_ids for file in headed)
        return f"{where}: {header} is skipped, {n_ids:,} ids of {_width(headed[0])} bytes follow"
    return f"{where}: {header} is read as ids, as data.dtype was given; leave data.dtype out to skip it"


# ---- one file ------------------------------------------------------------------------------------------------


def _token_file(path: Path, dtype: str) -> TokenFile:
    size = path.stat().st_size
    with path.open("rb") as stream:
        sample = stream.read(_SAMPLE)
    magic, n_ids = _header(sample)
    if magic and dtype == "auto":
        return _headed(path, magic, n_ids, size - _HEADER)
    if dtype == "auto":
        _require_bare_ids(path, sample)
    width = _DTYPES[dtype].itemsize
    if size % width:
        what = "an odd number of bytes" if width == 2 else f"{size:,} bytes"
        raise DataError(f"{path}: has {what}, ids of {_WIDTHS[width]} bytes were expected; take another copy")
    return TokenFile(path=path, dtype=_DTYPES[dtype], n_ids=size // width, offset=0, magic=magic)


def _header(sample: bytes) -> tuple[int, int]:
    """Read what a file begins with and how many ids it says it has; (0, 0) without a header."""
    if len(sample) < _HEADER:
        return 0, 0
    magic, _, n_ids = np.frombuffer(sample, dtype="<u4", count=3).tolist()
    return (magic, n_ids) if magic in _HEADED else (0, 0)


def _headed(path: Path, magic: int, n_ids: int, n_bytes: int) -> TokenFile:
    dtype = _HEADED[magic]
    if n_ids * dtype.itemsize != n_bytes:
        raise DataError(
            f"{path}: its header says {n_ids:,} ids of {_WIDTHS[dtype.itemsize]} bytes, but {n_bytes:,} bytes follow "
            "it; take another copy"
        )
    return TokenFile(path=path, dtype=dtype, n_ids=n_ids, offset=_HEADER, magic=magic)


def _require_bare_ids(path: Path, sample: bytes) -> None:
    """Raise DataError for what is another sort of file, or looks like wider ids than those of two bytes."""
    for beginning, sort in _OTHERS.items():
        if sample.startswith(beginning):
            raise DataError(f"{path}: is {sort}, not bare token ids; write its ids alone, of two or four bytes each")
    halves = np.frombuffer(sample[: len(sample) // 4 * 4], dtype="<u2")
    lower, upper = halves[::2], halves[1::2]
    if halves.size < _FEWEST or not _are_halves(int(lower.max()), int(upper.max())):
        return
    if not lower[1::2].any():
        raise DataError(
            f"{path}: looks like ids of eight bytes (three of four numbers of two bytes are 0); write them in four and "
            "set data.dtype: uint32, or set data.dtype: uint16 if its ids are of two bytes"
        )
    raise DataError(
        f"{path}: looks like ids of four bytes (every second number of two bytes is {_at_most(int(upper.max()))}); "
        "set data.dtype: uint32, or data.dtype: uint16 if its ids are of two bytes"
    )


def _are_halves(largest_lower: int, largest_upper: int) -> bool:
    """Whether numbers of two bytes that alternate so are the halves of others.

    Those of ids below 65,536 are 0 in every second place; a larger vocabulary puts small numbers there, and large ones
    before them.
    """
    if largest_upper == 0:
        return largest_lower > 0
    return largest_upper < _HIGHEST and largest_lower >= 256 * _HIGHEST


def _at_most(largest: int) -> str:
    return f"at most {largest}" if largest else "0"


def _label(files: Sequence[TokenFile]) -> Path:
    return files[0].path if len(files) == 1 else files[0].path.parent


def _width(file: TokenFile) -> str:
    return _WIDTHS[file.dtype.itemsize]
