"""Tokens of whole bytes: learnt from a corpus by byte-pair merges, or read from a pretrained tokenizer.json.

The package `tokenizers` does the work; its JSON is what is saved, so that other programs read it too. Which
bytes an id stands for is known here without it, and each encoded text is compared with its ids' bytes: bits
per byte would be wrong for a tokenizer that lower-cases, normalises or drops anything.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from growlab.data.extras import optional
from growlab.data.pieces import segments
from growlab.data.tokens import Ids, Tokenizer, utf8
from growlab.errors import CannotEncode, DataError

_MIN_COUNT = 2  # of a pair that is merged
_LONG_WORD = re.compile(r"\S{4096}")  # learning takes time that grows with the square of a word's length
_BATCH = 16  # segments that are encoded at once, on all cores


@dataclass(frozen=True)
class ByteLevelTokenizer(Tokenizer):
    """A byte-pair tokenizer, made by `learn` or `from_mapping`.

    Special tokens are never made from a text and stand for no bytes of it.
    """

    definition: str  # the JSON of the package `tokenizers`

    @classmethod
    def learn(cls, pieces: Iterable[str], vocab_size: int) -> Self:
        """Learn byte-pair merges of a text, by GPT-2's rule for words, without special tokens.

        Fewer tokens when it has no more pairs.

        A pure function of the text, however it is cut into pieces. Words of thousands of characters, such as
        genes, are learnt from in parts.
        """
        library = _library()
        model = library.Tokenizer(library.models.BPE())
        model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=_MIN_COUNT,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[],
            show_progress=False,
        )
        parts = (part for segment in segments(pieces) for part in _without_long_words(segment))
        model.train_from_iterator(parts, trainer)
        return cls(_canonical(json.loads(model.to_str())))

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> Self:
        """Make a tokenizer of what tokenizer.json holds. Raises DataError when that is damaged or not byte-level."""
        kinds = _kinds_of(raw.get("decoder"))
        if "ByteLevel" not in kinds:
            raise DataError(
                f"is not byte-level (its decoder is {' and '.join(kinds) or 'none'}), so bits per byte would not be "
                "exact; give a byte-level tokenizer such as GPT-2's, or use data.tokenizer: bpe"
            )
        tokenizer = cls(_canonical(raw))
        _ = tokenizer._model, tokenizer._bytes_of_id  # now, that damage is found here
        return tokenizer

    @property
    def vocab_size(self) -> int:
        return len(self._bytes_of_id)

    def encode(self, text: str) -> Ids:
        return self._checked([text])[0]

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[Ids]:
        parts = segments(pieces)
        while batch := list(islice(parts, _BATCH)):
            yield from self._checked(batch)

    def to_bytes(self, ids: ArrayLike) -> bytes:
        table = self._bytes_of_id
        return b"".join([table[token] for token in np.asarray(ids, dtype=np.intp).tolist()])

    def n_bytes(self, ids: ArrayLike) -> int:
        return int(self._n_bytes_of_id[np.asarray(ids, dtype=np.intp)].sum(dtype=np.int64))

    def to_mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = json.loads(self.definition)
        return mapping

    def _checked(self, texts: list[str]) -> list[Ids]:
        expected = [utf8(text) for text in texts]
        encodings = self._model.encode_batch_fast(texts, add_special_tokens=False)
        ids = [np.array(encoding.ids, dtype=self.dtype) for encoding in encodings]
        for encoded, text in zip(ids, expected, strict=True):
            if (got := self.to_bytes(encoded)) != text:
                raise CannotEncode(_about_loss(text, got))
        return ids

    @cached_property
    def _model(self) -> Any:
        library = _library()
        try:
            model = library.Tokenizer.from_str(self.definition)
        except Exception as error:  # the package raises nothing more special
            raise DataError(f"cannot be read by the package 'tokenizers' ({error}); take another copy") from None
        model.no_truncation()
        model.no_padding()
        model.encode_special_tokens = True  # '<|endoftext|>' in a text is thirteen characters
        return model

    @cached_property
    def _bytes_of_id(self) -> list[bytes]:
        """The bytes of each token, by id; for a special token its name, for an id that is not used nothing."""
        vocabulary = self._model.get_vocab(with_added_tokens=True)
        table = [b""] * (max(vocabulary.values(), default=-1) + 1)
        added = self._model.get_added_tokens_decoder()
        for token, at in vocabulary.items():
            table[at] = added[at].content.encode() if at in added else _bytes_of(token)
        return table

    @cached_property
    def _n_bytes_of_id(self) -> NDArray[np.int64]:
        n_bytes = np.array([len(token) for token in self._bytes_of_id], dtype=np.int64)
        special = [at for at, token in self._model.get_added_tokens_decoder().items() if token.special]
        n_bytes[special] = 0
        return n_bytes


def _library() -> Any:
    return optional("tokenizers", needed_by="a byte-level tokenizer (data.tokenizer bpe or file)")


def _without_long_words(segment: str) -> Iterator[str]:
    begin = 0
    for word in _LONG_WORD.finditer(segment):
        yield segment[begin : word.end()]
        begin = word.end()
    yield segment[begin:]


def _canonical(raw: Mapping[str, Any]) -> str:
    return json.dumps(raw, ensure_ascii=False)


def _kinds_of(decoder: Any) -> list[str]:
    """The type of a decoder, or of all that a sequence of them has."""
    match decoder:
        case {"type": "Sequence", "decoders": [*parts]}:
            return [kind for part in parts for kind in _kinds_of(part)]
        case {"type": str(kind)}:
            return [kind]
    return []


def _bytes_of(token: str) -> bytes:
    try:
        return bytes([_BYTE_OF_CHAR[char] for char in token])
    except KeyError as error:
        raise DataError(
            f"is not byte-level: its token {token!r} has the character {error}, which stands for no byte; "
            "give a byte-level tokenizer such as GPT-2's"
        ) from None


def byte_of_char() -> dict[str, int]:
    """Bytes by character in GPT-2's alphabet.

    That of a byte is the printable Latin-1 character of its number, or else the next one from U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


_BYTE_OF_CHAR = byte_of_char()


def _about_loss(text: bytes, got: bytes) -> str:
    differs = (at for at, (one, other) in enumerate(zip(text, got, strict=False)) if one != other)
    at = next(differs, min(len(text), len(got)))
    shown = text[max(at - 10, 0) : at + 10].decode(errors="replace")
    return (
        f"the tokenizer changes the text at {shown!r} (it normalises, adds or drops something), so bits per byte "
        "would not be exact; use data.tokenizer bpe, byte or char, or a tokenizer.json without a normalizer"
    )
