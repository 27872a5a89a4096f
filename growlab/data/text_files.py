"""Text files in UTF-8, read in pieces."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from growlab.data.folders import files_at
from growlab.data.pieces import SIZE
from growlab.errors import DataError

_COMPRESSED = {
    b"\x1f\x8b": "gunzip -c",
    b"\x28\xb5\x2f\xfd": "zstd -dc",
    b"\xfd7zXZ\0": "xz -dc",
    b"BZh": "bunzip2 -c",
}
_DOCUMENTS = {  # that hold a text, but are none
    b"%PDF": "is a PDF; take its text out with: pdftotext IN OUT.txt",
    b"PK\x03\x04": "is a zip archive, as .docx, .odt and .epub are; save the text in it as plain text in UTF-8",
    b"\xd0\xcf\x11\xe0": "is an Office document; save it as plain text in UTF-8",
}
_MARKS = {  # that of UTF-32LE begins with that of UTF-16LE
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_SAMPLE = 1 << 12  # bytes that tell a width
_FEWEST_NULS = 0.1  # of the characters of a text in UTF-16: its white space and punctuation, if nothing else

WITH_UNIX_NEWLINES = ("text", "tiny-shakespeare", "stdlib")  # sources


def read_text(path: str) -> Iterator[str]:
    """Read a file, or all .txt files below a folder joined by one newline each.

    `\\r\\n` becomes `\\n`, and a byte order mark at the beginning of a file, which Windows writes, is dropped: both
    are of the file, not of its text. All else stays as it is. Raises DataError, with the path, for what is
    not UTF-8 or no text, and OSError.
    """
    for at, file in enumerate(files_at(path, ".txt", "text")):
        if at:
            yield "\n"
        yield from _with_unix_newlines(_without_mark(_decoded(file)))


def as_read(text: str, source: str) -> str:
    """Read a prompt as a corpus of that source would have been read: without a mark, with the corpus's newlines."""
    text = text.removeprefix("\ufeff")
    return text.replace("\r\n", "\n") if source in WITH_UNIX_NEWLINES else text


def not_utf8(where: str, error: UnicodeDecodeError, n_before: int = 0) -> DataError:
    """Make an error of bytes that are not UTF-8, `n_before` of which came before those that were decoded."""
    return DataError(f"{where}: {why_not_utf8(error, n_before)}")


def why_not_utf8(error: UnicodeDecodeError, n_before: int = 0) -> str:
    """Say what was found, and the command that converts it where its encoding can be known.

    A byte that is wrong in UTF-8 is a letter in each of a hundred other encodings: none of them is named.
    """
    if n_before == 0 and (document := _document(error.object)):
        return document
    unpack = next((tool for mark, tool in _COMPRESSED.items() if error.object.startswith(mark)), "")
    if unpack and n_before == 0:
        return f"is compressed; unpack it, such as: {unpack} IN > OUT"
    found = f"is not UTF-8 at byte {n_before + error.start} (0x{error.object[error.start]:02x})"
    if encoding := _wide_encoding(error.object):
        return f"{found} but looks like {encoding}; {_converted_from(encoding)}"
    return f"{found}; its encoding cannot be known from its bytes, but if it is X, {_converted_from('X')}"


def why_binary(content: bytes, n_before: int = 0) -> str:
    """Say what is wrong with bytes that hold a NUL, which no text has."""
    if n_before == 0 and (document := _document(content)):
        return document
    found = f"has a NUL at byte {n_before + content.index(0)}"
    if encoding := _wide_encoding(content):
        return f"{found} and looks like {encoding} without its mark; {_converted_from(encoding)}"
    return f"{found}, so it is binary, or in an encoding that cannot be known from its bytes; give a text in UTF-8"


def _document(content: bytes) -> str:
    """What a document is, by its first bytes, and how a text is made of it; '' for anything else."""
    return next((what for mark, what in _DOCUMENTS.items() if content.startswith(mark)), "")


def _converted_from(encoding: str) -> str:
    return f"convert it with: iconv -f {encoding} -t UTF-8 IN > OUT"


def _wide_encoding(content: bytes) -> str:
    """Guess the encoding of a text with two or four bytes a character, by its mark or its NULs; '' for any other."""
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            return name
    sample = content[: min(len(content), _SAMPLE) // 4 * 4]
    n_nuls = [sample[at::4].count(0) for at in range(4)]
    n_fours = len(sample) // 4
    if n_fours and n_nuls[3] == n_fours and n_nuls[2] > n_fours / 2 and not n_nuls[0]:
        return "UTF-32LE"
    if n_fours and n_nuls[0] == n_fours and n_nuls[1] > n_fours / 2 and not n_nuls[3]:
        return "UTF-32BE"
    even, odd = n_nuls[0] + n_nuls[2], n_nuls[1] + n_nuls[3]
    if max(even, odd) < _FEWEST_NULS * len(sample) / 2 or (even and odd) or not sample:
        return ""
    return "UTF-16LE" if odd else "UTF-16BE"


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
            if 0 in content:
                raise DataError(f"{file}: {why_binary(content, n_read)}")
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
