"""Tokens become text as they are drawn: whole characters, and nothing of a stop string."""

import codecs
from collections.abc import Collection, Iterable, Iterator

from growlab.data.tokens import Tokenizer
from growlab.errors import UsageError


def whole_characters(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Yield what Tokenizer.decode makes of all ids, piece by piece; half a character waits for its other half."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        if piece := decoder.decode(tokenizer.to_bytes([token])):
            yield piece
    if piece := decoder.decode(b"", final=True):
        yield piece


def before_stop(pieces: Iterable[str], stops: Collection[str]) -> Iterator[str]:
    """Yield the text up to the stop string that is complete first, all of it where none is. Nothing is read on.

    What could be the beginning of a stop string waits until it is one or cannot be one.
    """
    held = ""
    for piece in pieces:
        held += piece
        if (end := _first_of(stops, held)) is not None:
            if held[:end]:
                yield held[:end]
            return
        n_safe = len(held) - _longest_beginning(stops, held)
        if n_safe:
            yield held[:n_safe]
        held = held[n_safe:]
    if held:
        yield held


def require_stops(stops: Iterable[str]) -> None:
    """Raise UsageError for an empty stop string, which would end every text before it begins."""
    if "" in stops:
        raise UsageError("a stop string needs at least one character, got ''; leave --stop out for none")


def _first_of(stops: Iterable[str], text: str) -> int | None:
    """Index at which the stop string begins that ends first, the longest of several: the same however the text came."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) != -1]
    return min(found)[1] if found else None


def _longest_beginning(stops: Iterable[str], text: str) -> int:
    """The number of characters at the end of the text that are the beginning of a stop string."""
    sizes = (size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size]))
    return max(sizes, default=0)
