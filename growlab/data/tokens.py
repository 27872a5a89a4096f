"""What a tokenizer is: text to ids and back, with the bytes that each id stands for."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from growlab.errors import CannotEncode
from growlab.files import write_atomically

Ids = NDArray[np.unsignedinteger[Any]]


class Tokenizer(Protocol):
    """A map from text to ids in [0, vocab_size) and back."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest unsigned type that holds vocab_size - 1."""
        return np.min_scalar_type(self.vocab_size - 1)

    def encode(self, text: str) -> Ids:
        """Encode a text to ids: 1-D, of self.dtype. Raises CannotEncode for what has none."""
        ...

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[Ids]:
        """Yield the ids of a text that comes in pieces; joined, they do not depend on how it was cut."""
        for piece in pieces:
            yield self.encode(piece)

    def to_bytes(self, ids: ArrayLike) -> bytes:
        """Decode a 1-D list or array of ids to UTF-8, which may begin and end inside a character."""
        ...

    def decode(self, ids: ArrayLike) -> str:
        """Decode ids to text. Bytes that are not UTF-8, such as half a character at the end, become U+FFFD."""
        return self.to_bytes(ids).decode(errors="replace")

    def n_bytes(self, ids: ArrayLike) -> int:
        """Count the bytes of UTF-8 that ids stand for: what makes nats per token into bits per byte."""
        ...

    def to_mapping(self) -> dict[str, Any]:
        """Describe the tokenizer in plain JSON types; tokenizer_from_mapping is the inverse."""
        ...

    def save(self, path: Path) -> None:
        """Write the file `path`, usually called tokenizer.json, that load_tokenizer reads."""
        write_atomically(path, json.dumps(self.to_mapping(), ensure_ascii=False).encode())


def utf8(text: str) -> bytes:
    """Encode to UTF-8.

    Raises CannotEncode for half a surrogate pair, which a terminal hands over for a foreign byte.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CannotEncode(
            f"cannot encode {text[error.start]!r} at character {error.start}: it is not text; give valid UTF-8"
        ) from None
