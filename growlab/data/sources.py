"""Where a text comes from. A source is one function under a name; register_source adds another."""

import hashlib
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from growlab.data.stdlib import read_stdlib
from growlab.errors import DataError
from growlab.registry import Registry

Read = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Source:
    name: str
    summary: str  # one line for `growlab data`
    read: Read  # the path of a DataSpec ("" for an embedded source) to the whole text; raises DataError

    def place(self, path: str) -> str:
        """What a message calls the text: its path, or for an embedded one what it depends on."""
        return path or f"source {self.name!r} under Python {platform.python_version()}"


SOURCES: Registry[Source] = Registry("data source")


def register_source(name: str, summary: str) -> Callable[[Read], Read]:
    """Decorator: make a reading function a source that a study can name."""

    def add(read: Read) -> Read:
        SOURCES.add(name, Source(name=name, summary=summary, read=read))
        return read

    return add


register_source("stdlib", "embedded: the English prose in the documentation of the running Python")(read_stdlib)


@register_source("text", "a UTF-8 text file, or a folder: all .txt files below it, by relative path")
def read_text(path: str) -> str:
    """The text of a file, or of all .txt files below a folder joined by one newline each.

    Files come in the order of their relative paths; linked folders are not entered. `\\r\\n`
    becomes `\\n`, all else stays as it is. Raises DataError, with the path, for what is missing,
    unreadable, empty or not UTF-8.
    """
    if not path:
        raise DataError("source 'text' needs a path, got ''; set data.path to a text file or a folder of .txt files")
    root = Path(path)
    try:
        text = "\n".join(_decoded(file) for file in _text_files(root)) if root.is_dir() else _decoded(root)
    except PermissionError as error:
        raise DataError(f"{error.filename}: may not be read by this user; change its permissions") from None
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}; check data.path") from None
    if not text:
        raise DataError(f"{path}: is empty; give a file with text in it")
    return text


def sha256_of(text: str) -> str:
    """Hexadecimal sha256 of the text in UTF-8: what a DataSpec records of its corpus."""
    return hashlib.sha256(text.encode()).hexdigest()


def _text_files(folder: Path) -> list[Path]:
    """os.walk, as Path.rglob passes over a subfolder that may not be read without a word."""
    files = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=_raise)
        for name in names
        if name.endswith(".txt")
    ]
    if not files:
        raise DataError(f"{folder}: has no .txt file in it or below it; check data.path, or name your files *.txt")
    return sorted(files, key=lambda file: file.relative_to(folder).as_posix())


def _decoded(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: is not UTF-8 at byte {error.start}; convert it, such as: iconv -f latin1 -t utf-8 IN > OUT"
        ) from None


def _raise(error: OSError) -> NoReturn:
    raise error
