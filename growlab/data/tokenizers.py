"""Characters, bytes or bare ids; reading any tokenizer back. All are exact: no unknown token, no normalisation."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from growlab.data.byte_level import ByteLevelTokenizer
from growlab.data.markers import ChatTokenizer
from growlab.data.tokens import Ids, Tokenizer, utf8
from growlab.errors import CannotEncode, DataError, SpecError
from growlab.escapes import shortened
from growlab.files import open_regular
from growlab.specs import DataSpec

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "IdTokenizer",
    "Ids",
    "Tokenizer",
    "list_tokenizers",
    "load_tokenizer",
    "recorded_tokenizer",
    "require_recorded_tokenizer",
    "tokenizer_from_mapping",
    "tokenizer_sha256",
]

_UNKNOWN = -1
_MAX_NAMED = 5  # unknown characters that a message shows


@dataclass(frozen=True)
class CharTokenizer(Tokenizer):
    """A tokenizer with one id per distinct character, in the order of code points.

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
        return cls.for_pieces([text])

    @classmethod
    def for_pieces(cls, pieces: Iterable[str]) -> Self:
        seen: set[str] = set()
        for piece in pieces:
            seen.update(piece)
        return cls("".join(sorted(seen)))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> Ids:
        """Encode a text. Raises CannotEncode that names the first characters outside the alphabet."""
        ids = self._id_of_code.take(_code_points(text), mode="clip")
        unknown = np.flatnonzero(ids == _UNKNOWN)
        if unknown.size:
            raise CannotEncode(self._about_unknown(list(dict.fromkeys(text[at] for at in unknown))))
        return ids.astype(self.dtype)

    def decode(self, ids: ArrayLike) -> str:
        return self._codes[np.asarray(ids, dtype=np.intp)].tobytes().decode("utf-32-le")

    def to_bytes(self, ids: ArrayLike) -> bytes:
        return self.decode(ids).encode()

    def n_bytes(self, ids: ArrayLike) -> int:
        return int(self._n_bytes_of_id[np.asarray(ids, dtype=np.intp)].sum(dtype=np.int64))

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "char", "alphabet": list(self.alphabet)}

    @cached_property
    def _codes(self) -> NDArray[np.uint32]:
        return _code_points(self.alphabet)

    @cached_property
    def _id_of_code(self) -> NDArray[np.int32]:
        """Ids by code point; the last entry, to which all higher ones are clipped, is unknown too."""
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
            f"cannot encode {named}{more}: not among the {self.vocab_size} characters that this tokenizer knows; "
            "replace them, or train with data.tokenizer: byte"
        )


@dataclass(frozen=True)
class ByteTokenizer(Tokenizer):
    """A tokenizer of the 256 bytes of UTF-8: takes any text, in any language, at one token per byte."""

    @property
    def vocab_size(self) -> int:
        return 256

    def encode(self, text: str) -> Ids:
        return np.frombuffer(utf8(text), dtype=np.uint8).copy()

    def to_bytes(self, ids: ArrayLike) -> bytes:
        return np.asarray(ids, dtype=np.uint8).tobytes()

    def n_bytes(self, ids: ArrayLike) -> int:
        return np.asarray(ids).size

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "byte"}


@dataclass(frozen=True)
class IdTokenizer(Tokenizer):
    """A tokenizer for ids that nobody can read, of a synthetic task or a .bin without its own.

    They are written as numbers.

    They stand for no text, so their bits per byte are unknown.
    """

    n_ids: int

    @property
    def vocab_size(self) -> int:
        return self.n_ids

    def encode(self, text: str) -> Ids:
        """Read numbers between white space. Raises CannotEncode for anything else."""
        numbers = text.split()
        if strange := [number for number in numbers if not (number.isdecimal() and int(number) < self.n_ids)]:
            raise CannotEncode(
                f"cannot encode {strange[0]!r}: this tokenizer knows nothing but ids; "
                f"give numbers from 0 to {self.n_ids - 1}, such as: 3 1 2"
            )
        return np.array([int(number) for number in numbers], dtype=self.dtype)

    def to_bytes(self, ids: ArrayLike) -> bytes:
        return "".join(f" {token}" for token in np.asarray(ids).tolist()).encode()

    def n_bytes(self, ids: ArrayLike) -> int:
        return 0

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "ids", "vocab_size": self.n_ids}


def list_tokenizers() -> list[tuple[str, str]]:
    """List what data.tokenizer may be, with one line about each."""
    return [
        ("char", "one token per character of the corpus's own alphabet"),
        ("byte", "one token per UTF-8 byte, 256 of them"),
        ("bpe", "data.vocab_size tokens of whole bytes, learnt from the train split (needs tokenizers)"),
        ("file", "the tokenizer in data.tokenizer_path: ours, or a byte-level one of the package tokenizers"),
        ("ids", "the corpus is ids already: a synthetic task, or a .bin of data.vocab_size ids"),
    ]


def tokenizer_from_mapping(raw: object) -> Tokenizer:
    """Make the tokenizer that Tokenizer.to_mapping wrote. Raises DataError for anything else."""
    match raw:
        case {"type": "byte"}:
            return ByteTokenizer()
        case {"type": "char", "alphabet": [_, *_] as chars} if _is_alphabet(chars):
            return CharTokenizer("".join(chars))
        case {"type": "ids", "vocab_size": int(n_ids)} if n_ids >= 2:
            return IdTokenizer(n_ids)
        case {"type": "chat", "text": dict(text)} if text.get("type") not in ("chat", "ids"):
            return ChatTokenizer(tokenizer_from_mapping(text))
        case dict() if {"version", "model"} <= raw.keys():  # of the package `tokenizers`
            return ByteLevelTokenizer.from_mapping(raw)
    raise DataError(f"is no tokenizer of this growlab: {shortened(raw)}; write it again with Tokenizer.save")


def recorded_tokenizer(spec: DataSpec) -> tuple[Tokenizer, str]:
    """Load the tokenizer in spec.tokenizer_path, with its sha256. Raises DataError when it is not the recorded one."""
    tokenizer = load_tokenizer(Path(spec.tokenizer_path))
    return tokenizer, require_recorded_tokenizer(spec, tokenizer)


def require_recorded_tokenizer(spec: DataSpec, tokenizer: Tokenizer) -> str:
    """Return the sha256 of a tokenizer. Raises DataError when another was recorded."""
    sha256 = tokenizer_sha256(tokenizer)
    if spec.tokenizer_sha256 not in ("", sha256):
        what = spec.tokenizer_path or f"data.tokenizer {spec.tokenizer}"
        raise DataError(
            f"{what}: is not the tokenizer that this trial recorded: sha256 {sha256[:12]}…, "
            f"recorded {spec.tokenizer_sha256[:12]}…; bring back the recorded one, for bpe the version of the package "
            "'tokenizers' that learnt it, or make a new study with --set data.tokenizer_sha256="
        )
    return sha256


def tokenizer_sha256(tokenizer: Tokenizer) -> str:
    """Hash the definition of a tokenizer, whatever file that came in, as hexadecimal sha256."""
    definition = json.dumps(tokenizer.to_mapping(), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(definition.encode()).hexdigest()


def load_tokenizer(path: Path) -> Tokenizer:
    """Read what Tokenizer.save wrote. Raises DataError, with the path, when it is missing or damaged."""
    try:
        with open_regular(path) as file:
            return tokenizer_from_mapping(json.load(file))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; give the tokenizer.json of a model") from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8; ten thousand brackets
        raise DataError(f"{path}: is not JSON ({error}); it is damaged, take another copy") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def text_has_no_ids(spec: DataSpec) -> SpecError:
    """An error for the tokenizer of ids where a source gives text."""
    return SpecError(
        f"source {spec.source!r} gives text and data.tokenizer 'ids' is for sources of ids; "
        "set it to char, byte, bpe or file"
    )


def _is_alphabet(chars: list[Any]) -> bool:
    return all(isinstance(char, str) and len(char) == 1 for char in chars) and chars == sorted(set(chars))


def _code_points(text: str) -> NDArray[np.uint32]:
    # surrogatepass: half a surrogate pair is one more unknown character, not a crash
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
