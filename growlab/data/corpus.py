"""A DataSpec becomes three memory-mapped splits of token ids.

    0 ................ n_train ......... n_train + n_val ......... n
    │      train       │      val        │         test          │

Splits are by position: `test` is the end of the text, `val` the end of what is before it.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from growlab.data.cache import keep, kept
from growlab.data.sources import SOURCES, sha256_of
from growlab.data.tokenizers import Ids, Tokenizer, tokenizer_for
from growlab.errors import DataError
from growlab.specs import DataSpec

_FORMAT = 1  # of the kept ids; raise it when a tokenizer changes what it writes


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """The splits are 1-D, read-only and memory-mapped, in the tokenizer's dtype.

    Bytes per token are UTF-8 bytes over tokens, both of all tokens but the first, which nothing
    predicts: bits per byte = nats per token / ln 2 / bytes per token. 0.0 for a split that
    predicts nothing.
    """

    train: Ids
    val: Ids
    test: Ids
    tokenizer: Tokenizer
    val_bytes_per_token: float
    test_bytes_per_token: float


class Fingerprint(NamedTuple):
    sha256: str  # of the text in UTF-8
    n_chars: int
    n_bytes: int  # of UTF-8


def load_corpus(spec: DataSpec) -> Corpus:
    """The splits of the recorded text. Raises DataError when the text is missing or is another one.

    The text is read and hashed at every load, cached ids or not. A modification time would be
    cheaper and wrong: copies and restored backups keep theirs. Hashing costs a second per gigabyte.
    """
    text = SOURCES[spec.source].read(spec.path)
    sha256 = sha256_of(text)
    _require_recorded(spec, sha256)
    tokenizer = tokenizer_for(spec.tokenizer, text)
    ids = _mapped_ids(f"{sha256}-{spec.tokenizer}-v{_FORMAT}.ids", text, tokenizer)
    test_from = _without_last(spec.test_fraction, ids.size)
    val_from = _without_last(spec.val_fraction, test_from)
    val, test = ids[val_from:test_from], ids[test_from:]
    return Corpus(
        train=ids[:val_from],
        val=val,
        test=test,
        tokenizer=tokenizer,
        val_bytes_per_token=_bytes_per_token(tokenizer, val),
        test_bytes_per_token=_bytes_per_token(tokenizer, test),
    )


def require_windows(corpus: Corpus, seq_len: int) -> None:
    """Raise DataError unless each split holds a window of seq_len + 1 tokens. An empty test split is allowed."""
    splits = [
        ("train", corpus.train, "lower data.val_fraction or data.test_fraction"),
        ("val", corpus.val, "raise data.val_fraction"),
    ]
    if corpus.test.size:
        splits.append(("test", corpus.test, "raise data.test_fraction or set it to 0"))
    for name, ids, remedy in splits:
        if ids.size <= seq_len:
            raise DataError(
                f"the {name} split has {ids.size} tokens, train.seq_len {seq_len} needs at least {seq_len + 1}; "
                f"lower train.seq_len, {remedy}, or give a longer text"
            )


def fingerprint(source: str, path: str) -> Fingerprint:
    """What a study records of its corpus. Raises DataError, and UnknownName for the source."""
    text = SOURCES[source].read(path)
    return Fingerprint(sha256_of(text), len(text), len(text.encode()))


def list_sources() -> list[tuple[str, str]]:
    """Name and one-line summary of every source, by name."""
    return [(name, source.summary) for name, source in SOURCES.items()]


def _require_recorded(spec: DataSpec, sha256: str) -> None:
    if spec.sha256 not in ("", sha256):
        raise DataError(
            f"{SOURCES[spec.source].place(spec.path)}: is not the corpus that this trial recorded: "
            f"sha256 {sha256[:12]}…, recorded {spec.sha256[:12]}…; "
            "bring the recorded text back, or create a new study for this one"
        )


def _mapped_ids(name: str, text: str, tokenizer: Tokenizer) -> Ids:
    """All ids of the text, from the cache, where they are put if they are not there or are damaged."""
    path = kept(name)
    if path is None:
        ids = tokenizer.encode(text)
        path = keep(name, ids.data, {"dtype": ids.dtype.name, "n_tokens": ids.size})
    return np.memmap(path, dtype=tokenizer.dtype, mode="r")


def _without_last(fraction: float, n_tokens: int) -> int:
    """floor((1 - fraction) n), with the decimal fraction that was written: in floats 1 - 0.9 is below 0.1."""
    return int((1 - Fraction(str(fraction))) * n_tokens)


def _bytes_per_token(tokenizer: Tokenizer, ids: Ids) -> float:
    predicted = ids[1:]
    return tokenizer.n_bytes(predicted) / predicted.size if predicted.size else 0.0
