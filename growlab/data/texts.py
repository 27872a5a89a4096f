"""A text that need not fit into memory becomes token ids in the cache.

It passes by in pieces, up to three times: to be hashed; to teach the tokenizer; to be encoded. The last two
happen once, as what they make is kept, and see to it that the text is still the one that was hashed.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from growlab.data.byte_level import ByteLevelTokenizer
from growlab.data.cache import Entry, keep, kept
from growlab.data.pieces import Digest, sections
from growlab.data.sources import TextSource
from growlab.data.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    recorded_tokenizer,
    require_recorded_tokenizer,
    text_has_no_ids,
    tokenizer_from_mapping,
    tokenizer_sha256,
)
from growlab.data.tokens import Ids, Tokenizer
from growlab.errors import CannotEncode, DataError
from growlab.specs import DataSpec

_FORMAT = 2  # of the kept ids and tokenizers; raise it when a tokenizer changes what it writes
_SPLITS = ("n_train", "n_val", "n_test")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text that was read once and can be read again, as long as it stays the same."""

    source: TextSource
    spec: DataSpec
    digest: Digest
    cuts: tuple[int, int]  # the characters before which train and val end

    @property
    def label(self) -> str:
        """The name that a message gives the text."""
        return self.source.label(self.spec.path)

    def pieces(self) -> Iterator[str]:
        """Yield the pieces, to be read to the end: only then is it sure that they are the text. Raises DataError."""
        again = Digest()
        yield from again.watch(self.source.pieces(self.spec))
        if again.sha256 != self.digest.sha256:
            raise DataError(f"{self.label}: was changed while it was read; wait until it is complete, then try again")

    def training_pieces(self) -> Iterator[str]:
        return (piece for section, piece in sections(self.pieces(), self.cuts) if section == 0)


def read_digest(source: TextSource, spec: DataSpec) -> Digest:
    """Read the whole text once. Raises DataError, also for an empty one."""
    digest = Digest()
    try:
        for _ in digest.watch(source.pieces(spec)):
            pass
    except CannotEncode as error:
        raise DataError(f"{source.label(spec.path)}: {error}") from None
    if not digest.n_chars:
        raise DataError(f"{source.label(spec.path)}: is empty; give a file with text in it")
    return digest


def tokenizer_for(text: Text, stages: Sequence[Text] = ()) -> tuple[Tokenizer, str]:
    """Make the tokenizer that the spec names; return it with its sha256 where the texts alone do not determine it.

    A char tokenizer knows the characters of the stages of a curriculum too. Byte pairs are learnt from `text`'s own
    train split: bytes can write anything, and the tokens should be those of the text that counts.
    """
    spec, sha256 = text.spec, text.digest.sha256
    match spec.tokenizer:
        case "byte":
            return ByteTokenizer(), ""
        case "char":
            name = f"{_sha256_of_all([text, *stages])}-char-v{_FORMAT}.tokenizer"
            pieces = (piece for known in (text, *stages) for piece in known.pieces())
            return _kept_tokenizer(name) or _keep_tokenizer(name, CharTokenizer.for_pieces(pieces)), ""
        case "bpe":
            name = f"{sha256}-bpe{spec.vocab_size}-{text.cuts[0]}-v{_FORMAT}.tokenizer"
            tokenizer = _kept_tokenizer(name) or _keep_tokenizer(
                name, ByteLevelTokenizer.learn(text.training_pieces(), spec.vocab_size)
            )
            return tokenizer, require_recorded_tokenizer(spec, tokenizer)
        case "file":
            return recorded_tokenizer(spec)
    raise text_has_no_ids(spec)


def kept_ids(text: Text, tokenizer: Tokenizer, *, shared: bool) -> Ids:
    """Encode all of the text as one. The ids lie in the cache, where they are put if missing or damaged.

    `shared`: the tokenizer is one that other texts shaped too.
    """
    alphabet = f"-{tokenizer_sha256(tokenizer)[:16]}" if shared else ""
    name = f"{text.digest.sha256}-{text.spec.tokenizer}{alphabet}-v{_FORMAT}.ids"
    return _mapped(kept(name) or _keep_ids(name, text, (), tokenizer), tokenizer)


def kept_splits(text: Text, tokenizer: Tokenizer, sha256: str) -> tuple[Ids, Ids, Ids]:
    """Encode train, val and test, each by itself. The ids lie in the cache likewise."""
    train_to, val_to = text.cuts
    name = f"{text.digest.sha256}-{sha256[:16]}-{train_to}-{val_to}-v{_FORMAT}.ids"
    entry = kept(name)
    if entry is None or not _adds_up(entry, tokenizer):
        entry = _keep_ids(name, text, text.cuts, tokenizer)
    ids = _mapped(entry, tokenizer)
    n_train, n_val = int(entry.about["n_train"]), int(entry.about["n_val"])
    return ids[:n_train], ids[n_train : n_train + n_val], ids[n_train + n_val :]


def _sha256_of_all(texts: Sequence[Text]) -> str:
    """Hash texts: of one its own sha256, of several a hash of theirs in order."""
    hashes = [text.digest.sha256 for text in texts]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _keep_ids(name: str, text: Text, cuts: Sequence[int], tokenizer: Tokenizer) -> Entry:
    about: dict[str, str | int] = {"dtype": tokenizer.dtype.name}
    counts = [0] * (len(cuts) + 1)

    def content() -> Iterator[memoryview]:
        try:
            for section, numbered in groupby(
                sections(text.pieces(), cuts), key=lambda numbered_piece: numbered_piece[0]
            ):
                for ids in tokenizer.encode_pieces(piece for _, piece in numbered):
                    counts[section] += ids.size
                    yield ids.data
        except CannotEncode as error:
            raise DataError(f"{text.label}: {error}") from None
        about["n_tokens"] = sum(counts)
        about.update(zip(_SPLITS, counts, strict=True) if cuts else ())

    return keep(name, content(), about)


def _adds_up(entry: Entry, tokenizer: Tokenizer) -> bool:
    """Whether the sizes in the JSON, which has no hash of its own, can be right."""
    sizes = [size for name in _SPLITS if isinstance(size := entry.about.get(name), int) and size >= 0]
    n_tokens = entry.path.stat().st_size // tokenizer.dtype.itemsize
    return len(sizes) == len(_SPLITS) and sum(sizes) == n_tokens


def _mapped(entry: Entry, tokenizer: Tokenizer) -> Ids:
    return np.memmap(entry.path, dtype=tokenizer.dtype, mode="r")


def _kept_tokenizer(name: str) -> Tokenizer | None:
    entry = kept(name)
    return tokenizer_from_mapping(json.loads(entry.path.read_bytes())) if entry else None


def _keep_tokenizer(name: str, tokenizer: Tokenizer) -> Tokenizer:
    definition = json.dumps(tokenizer.to_mapping(), ensure_ascii=False).encode()
    keep(name, [definition], {"vocab_size": tokenizer.vocab_size})
    return tokenizer
