"""A text in pieces, so that it need not fit into memory.

Joined, the pieces are the text; where it is cut means nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from growlab.errors import CannotEncode

SIZE = 1 << 18  # characters of a piece, about
_SEGMENT = 1 << 16  # characters, from which on a segment ends at the next line that a word begins
_LONGEST = 1 << 20  # characters, after which a text without such lines is cut anyway


def gathered(pieces: Iterable[str]) -> Iterator[str]:
    """Join small pieces to larger ones and drop empty ones: a row of a table is too small to be worth a call."""
    held: list[str] = []
    n_held = 0
    for piece in pieces:
        held.append(piece)
        n_held += len(piece)
        if n_held >= SIZE:
            yield "".join(held)
            held, n_held = [], 0
    if n_held:
        yield "".join(held)


def joined_by_newlines(documents: Iterable[str]) -> Iterator[str]:
    """Join documents to one text, one newline between two."""
    for at, document in enumerate(documents):
        if at:
            yield "\n"
        yield document


def sections(pieces: Iterable[str], cuts: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield pieces with the number of their section; section k ends before character cuts[k], the last at the end."""
    section = at = 0
    for piece in pieces:
        begin = 0
        while section < len(cuts) and cuts[section] <= at + len(piece):
            end = cuts[section] - at
            if end > begin:
                yield section, piece[begin:end]
            begin, section = end, section + 1
        if begin < len(piece):
            yield section, piece[begin:]
        at += len(piece)


def segments(pieces: Iterable[str]) -> Iterator[str]:
    """Cut the text where GPT-2's rule for words cuts it too, so that byte pairs are the same as in the whole.

    That is after a lone newline between two characters that are no white space. A pure function of the
    text; only one that has no such newline for a million characters is cut elsewhere.
    """
    rest = ""
    for piece in gathered(pieces):
        rest += piece
        begin = 0
        while len(rest) - begin > _LONGEST:  # an end that was found cannot move when more text comes
            end = _end_of_segment(rest, begin)
            yield rest[begin:end]
            begin = end
        rest = rest[begin:]
    begin = 0
    while begin < len(rest):
        end = _end_of_segment(rest, begin)
        yield rest[begin:end]
        begin = end


def _end_of_segment(text: str, begin: int) -> int:
    last = min(begin + _LONGEST, len(text))
    at = text.find("\n", begin + _SEGMENT, last)
    while at != -1:
        if at + 1 < last and not (text[at - 1].isspace() or text[at + 1].isspace()):
            return at + 1
        at = text.find("\n", at + 1, last)
    return last


class Digest:
    """The sha256, of UTF-8, and the characters of a text that passes by."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.n_chars = 0

    def watch(self, pieces: Iterable[str]) -> Iterator[str]:
        """Hash and count pieces as they pass by.

        Raises CannotEncode for half a surrogate pair, which no UTF-8 can hold.
        """
        for piece in pieces:
            try:
                self._sha256.update(piece.encode())
            except UnicodeEncodeError as error:
                raise CannotEncode(
                    f"has half a surrogate pair at character {self.n_chars + error.start}; repair or drop it"
                ) from None
            self.n_chars += len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()
