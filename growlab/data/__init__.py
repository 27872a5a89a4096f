"""From a text to batches of token ids. Imports neither torch nor anything above the foundation.

sources.py      where a text comes from, by name: a file, a folder, or what others register
stdlib.py       the text that is always there: the documentation of the running Python
tokenizers.py   characters or bytes to ids and back
corpus.py       a DataSpec becomes three memory-mapped splits; the recorded text or an error
cache.py        what can be rebuilt: kept whole, checked when read
batches.py      windows of a split as torch tensors; needs torch, so import it by its name

text ── encode ──► ids │ train ................ │ val │ test │
"""

from growlab.data.corpus import Corpus, Fingerprint, fingerprint, list_sources, load_corpus, require_windows
from growlab.data.sources import SOURCES, Source, register_source, sha256_of
from growlab.data.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tokenizer,
    tokenizer_for,
    tokenizer_from_mapping,
)

__all__ = [
    "SOURCES",
    "ByteTokenizer",
    "CharTokenizer",
    "Corpus",
    "Fingerprint",
    "Source",
    "Tokenizer",
    "fingerprint",
    "list_sources",
    "load_corpus",
    "load_tokenizer",
    "register_source",
    "require_windows",
    "sha256_of",
    "tokenizer_for",
    "tokenizer_from_mapping",
]
