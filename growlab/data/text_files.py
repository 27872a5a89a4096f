"""Text files in UTF-8, read in pieces."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from growlab.data.folders import files_at
from growlab.data.pieces import SIZE
from growlab.errors import DataError

_GZIP = b"\x1f\x8b"


def read_text(path: str) -> Iterator[str]:
    """A file, or all .txt files below a folder joined by one newline each.

    `\\r\\n` becomes `\\n`, and a byte order mark at the beginning of a file, which Windows writes, is dropped: both
    are of the file, not of its text. All else stays as it is. Raises DataError, with the path, for what is
    not UTF-8 or no text, and OSError.
    """
    for at, file in enumerate(files_at(path, ".txt", "text")):
        if at:
            yield "\n"
        yield from _with_unix_newlines(_without_mark(_decoded(file)))


def not_utf8(where: str, error: UnicodeDecodeError, n_before: int = 0) -> DataError:
    """What to say of bytes, `n_before` of which came before those that were decoded."""
    if n_before == 0 and error.object.startswith(_GZIP):
        return DataError(f"{where}: is compressed; unpack it, such as: gunzip -c IN > OUT")
    rest = error.object[error.start :]
    encoding = "utf-16" if rest.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "latin1"
    return DataError(
        f"{where}: is not UTF-8 at byte {n_before + error.start}; "
        f"convert it, such as: iconv -f {encoding} -t utf-8 IN > OUT"
    )


def _decoded(file: Path) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_read = 0
    with file.open("rb") as stream:
        while True:
            content = stream.read(SIZE)
            n_waiting = len(decoder.getstate()[0])  # bytes of a character that the last piece cut in two
            try:
                text = decoder.decode(content, final=not content)
            except UnicodeDecodeError as error:
                raise not_utf8(str(file), error, n_read - n_waiting) from None
            if (at := content.find(b"\0")) != -1:
                raise DataError(
                    f"{file}: has a NUL at byte {n_read + at}, so it is binary or UTF-16 without its mark; "
                    "give a text, or convert it, such as: iconv -f utf-16le -t utf-8 IN > OUT"
                )
            yield text
            if not content:
                return
            n_read += len(content)


def _without_mark(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        if piece:  # the first may be empty, as its bytes are half a character
            yield piece.removeprefix("\ufeff")
            break
    yield from pieces


def _with_unix_newlines(pieces: Iterator[str]) -> Iterator[str]:
    held = ""  # a carriage return at the end of a piece waits for what comes after it
    for piece in pieces:
        piece = held + piece
        held = "\r" if piece.endswith("\r") else ""
        yield piece.removesuffix("\r").replace("\r\n", "\n")
    yield held
