"""Characters or bytes to ids and back. Both are exact: no unknown token, no normalisation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from growlab.errors import DataError
from growlab.files import write_atomically

Ids = NDArray[np.unsignedinteger[Any]]

_UNKNOWN = -1
_MAX_NAMED = 5  # unknown characters that a message shows


class Tokenizer(Protocol):
    """Text to ids in [0, vocab_size) and back."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest unsigned one that holds vocab_size - 1."""
        return np.min_scalar_type(self.vocab_size - 1)

    def encode(self, text: str) -> Ids:
        """The ids: 1-D, of self.dtype. Raises DataError for what has none."""
        ...

    def decode(self, ids: ArrayLike) -> str:
        """The text of a 1-D list or array of ids."""
        ...

    def n_bytes(self, ids: ArrayLike) -> int:
        """How many bytes of UTF-8 these ids stand for: what makes nats per token into bits per byte."""
        ...

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON types; tokenizer_from_mapping is the inverse."""
        ...

    def save(self, path: Path) -> None:
        """Write the file `path`, usually called tokenizer.json, that load_tokenizer reads."""
        write_atomically(path, json.dumps(self.to_mapping(), ensure_ascii=False).encode())


@dataclass(frozen=True)
class CharTokenizer(Tokenizer):
    """One id per distinct character, in the order of code points.

    The alphabet, and no count of any kind, is taken from all three splits: a character that only
    the validation or test part has would otherwise need an 'unknown' token, and bits per byte
    would no longer be exact.
    """

    alphabet: str  # sorted, each character once

    def __post_init__(self) -> None:
        assert self.alphabet
        assert list(self.alphabet) == sorted(set(self.alphabet))

    @classmethod
    def for_text(cls, text: str) -> Self:
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> Ids:
        """Raises DataError that names the first characters outside the alphabet."""
        ids = self._id_of_code.take(_code_points(text), mode="clip")
        unknown = np.flatnonzero(ids == _UNKNOWN)
        if unknown.size:
            raise DataError(self._about_unknown(list(dict.fromkeys(text[at] for at in unknown))))
        return ids.astype(self.dtype)

    def decode(self, ids: ArrayLike) -> str:
        return self._codes[np.asarray(ids, dtype=np.intp)].tobytes().decode("utf-32-le")

    def n_bytes(self, ids: ArrayLike) -> int:
        return int(self._n_bytes_of_id[np.asarray(ids, dtype=np.intp)].sum(dtype=np.int64))

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "char", "alphabet": list(self.alphabet)}

    @cached_property
    def _codes(self) -> NDArray[np.uint32]:
        return _code_points(self.alphabet)

    @cached_property
    def _id_of_code(self) -> NDArray[np.int32]:
        """Indexed by code point; its last entry, to which all higher ones are clipped, is unknown too."""
        table = np.full(int(self._codes[-1]) + 2, _UNKNOWN, dtype=np.int32)
        table[self._codes] = np.arange(self.vocab_size)
        return table

    @cached_property
    def _n_bytes_of_id(self) -> NDArray[np.uint8]:
        return np.array([len(char.encode()) for char in self.alphabet], dtype=np.uint8)

    def _about_unknown(self, chars: list[str]) -> str:
        named = ", ".join(map(repr, chars[:_MAX_NAMED]))
        more = f" and {len(chars) - _MAX_NAMED} more" if len(chars) > _MAX_NAMED else ""
        return (
            f"cannot encode {named}{more}: not among the {self.vocab_size} characters of the corpus; "
            "replace them, or train with data.tokenizer: byte"
        )


@dataclass(frozen=True)
class ByteTokenizer(Tokenizer):
    """The 256 bytes of UTF-8: takes any text, in any language, at one token per byte."""

    @classmethod
    def for_text(cls, text: str) -> Self:
        """The same one for every text."""
        return cls()

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> Ids:
        """Raises DataError for half a surrogate pair, which a terminal hands over for a byte that is not UTF-8."""
        try:
            return np.frombuffer(text.encode(), dtype=np.uint8).copy()
        except UnicodeEncodeError as error:
            raise DataError(
                f"cannot encode {text[error.start]!r} at character {error.start}: it is not text; give valid UTF-8"
            ) from None

    def decode(self, ids: ArrayLike) -> str:
        """Bytes that are not UTF-8, such as half a character at the end, become U+FFFD."""
        return np.asarray(ids, dtype=np.uint8).tobytes().decode(errors="replace")

    def n_bytes(self, ids: ArrayLike) -> int:
        return np.asarray(ids).size

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "byte"}


def tokenizer_for(name: str, text: str) -> Tokenizer:
    """The tokenizer that a DataSpec names, made for its corpus."""
    makers: dict[str, Callable[[str], Tokenizer]] = {"char": CharTokenizer.for_text, "byte": ByteTokenizer.for_text}
    return makers[name](text)


def tokenizer_from_mapping(raw: object) -> Tokenizer:
    """The inverse of Tokenizer.to_mapping. Raises DataError for anything else."""
    match raw:
        case {"type": "byte"}:
            return ByteTokenizer()
        case {"type": "char", "alphabet": [_, *_] as chars} if _is_alphabet(chars):
            return CharTokenizer("".join(chars))
    raise DataError(f"is no tokenizer of this growlab: {_shortened(raw)}; write it again with Tokenizer.save")


def load_tokenizer(path: Path) -> Tokenizer:
    """Read what Tokenizer.save wrote. Raises DataError, with the path, when it is missing or damaged."""
    try:
        return tokenizer_from_mapping(json.loads(path.read_bytes()))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; give the tokenizer.json of a model") from None
    except ValueError as error:  # not JSON, not UTF-8
        raise DataError(f"{path}: is not JSON ({error}); it is damaged, take another copy") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _is_alphabet(chars: list[Any]) -> bool:
    return all(isinstance(char, str) and len(char) == 1 for char in chars) and chars == sorted(set(chars))


def _shortened(raw: object) -> str:
    return text if len(text := repr(raw)) <= 60 else f"{text[:60]}…"


def _code_points(text: str) -> NDArray[np.uint32]:
    # surrogatepass: half a surrogate pair is one more unknown character, not a crash
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
