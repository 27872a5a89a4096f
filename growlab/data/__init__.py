"""From a text to batches of token ids. Imports neither torch nor anything above the foundation.

sources.py      where a corpus comes from, by name; register_source adds another
  stdlib.py       the text that is always there: the documentation of the running Python
  text_files.py   UTF-8 files; folders.py: a path is a file or a folder of them, of which not all are read
  tables.py       JSON lines, Parquet, the Hugging Face hub: one column of documents
  download.py     a named file, fetched once and checked
  token_files.py  nanoGPT's .bin, shards of llm.c: ids that somebody else's tokenizer made
  columns.py      a column by its name, or by a path into a row
  qa.py           questions and answers; turns.py: as tokens, of which only the answers count
  tasks.py        synthetic tasks: sequences from a seed, of which only the answers count
pieces.py       a text in pieces, cut where it does not matter
tokens.py       what a tokenizer is
tokenizers.py   characters, bytes, bare ids; reading any of them back
markers.py      any of them with three markers that no text has: user, assistant, end
byte_level.py   byte pairs, learnt or pretrained; extras.py: packages that may be missing
texts.py        a text larger than memory becomes ids in the cache
corpus.py       a DataSpec becomes three splits; recorded.py: the recorded text, or an error
readings.py     how often a trial reads its texts
recent.py       the last one loaded, for a process that serves many trials
cache.py        what can be rebuilt: kept whole, checked when read
batches.py      windows of a split as torch tensors; needs torch, so import it by its name

text ── encode ──► ids │ train ................ │ val │ test │
"""

from growlab.data.byte_level import ByteLevelTokenizer
from growlab.data.corpus import Corpus, Split, list_sources, load_corpus, recorded_curriculum, require_windows
from growlab.data.markers import ChatTokenizer
from growlab.data.recent import RecentCorpus
from growlab.data.sources import SOURCES, Source, register_source
from growlab.data.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    IdTokenizer,
    list_tokenizers,
    load_tokenizer,
    tokenizer_from_mapping,
)
from growlab.data.tokens import Tokenizer

__all__ = [
    "SOURCES",
    "ByteLevelTokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "ChatTokenizer",
    "Corpus",
    "IdTokenizer",
    "RecentCorpus",
    "Source",
    "Split",
    "Tokenizer",
    "list_sources",
    "list_tokenizers",
    "load_corpus",
    "load_tokenizer",
    "recorded_curriculum",
    "register_source",
    "require_windows",
    "tokenizer_from_mapping",
]
