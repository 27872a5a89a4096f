"""Where a corpus comes from. A source is one function under a name; register_source adds another."""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from growlab.data.download import TINY_SHAKESPEARE
from growlab.data.folders import os_errors_named, unread_at
from growlab.data.pieces import gathered
from growlab.data.qa import Pairs, read_pairs
from growlab.data.stdlib import read_stdlib
from growlab.data.tables import (
    count_nulls_of_hub,
    count_nulls_of_jsonl,
    count_nulls_of_parquet,
    read_hub,
    read_jsonl,
    read_parquet,
)
from growlab.data.tasks import Copying, Needle, Recall, Task
from growlab.data.text_files import read_text
from growlab.data.token_files import token_files
from growlab.errors import DataError, GrowlabError, SpecError
from growlab.registry import Registry
from growlab.specs import DataSpec

Read = Callable[[DataSpec], str | Iterable[str]]
CountNulls = Callable[[str, str], int]  # of a path and a column


@dataclass(frozen=True, kw_only=True)
class Source:
    name: str
    summary: str  # one line for `growlab data`
    suffix: str = ""  # of the files that it reads below a folder; "" where it reads none

    def label(self, path: str) -> str:
        """Name the corpus for a message: its path, or for an embedded one what it depends on."""
        python = f" under Python {platform.python_version()}" if self.name == "stdlib" else ""
        return path or f"source {self.name!r}{python}"

    def unread(self, path: str) -> str:
        """Say what lies in the folder at `path` and is not read, in one line; '' for nothing. Raises OSError."""
        return unread_at(path, self.suffix) if self.suffix else ""


@dataclass(frozen=True, kw_only=True)
class TextSource(Source):
    count_nulls: CountNulls | None = None  # rows that data.skip_nulls passes over; None where there are none
    read: Read  # the whole text, or its pieces in order; raises DataError and OSError, the same at each call

    def pieces(self, spec: DataSpec) -> Iterator[str]:
        """Yield the text of a spec, some hundred thousand characters at a time. Raises DataError."""
        with _failures_named(self.name), os_errors_named(self.label(spec.path)):
            yield from gathered(_texts(self.name, self.read(spec)))

    def passed_over(self, spec: DataSpec) -> str:
        """Say how many rows have no text, where these are passed over, in one line; '' for none. Reads them all."""
        if not (spec.skip_nulls and self.count_nulls):
            return ""
        n = self.count_nulls(spec.path, spec.column)
        return f"{self.label(spec.path)}: {n:,} rows without {spec.column!r} are passed over (data.skip_nulls)" * (
            n > 0
        )


@dataclass(frozen=True, kw_only=True)
class TokenSource(Source):
    """A source of token ids that somebody else's tokenizer made."""

    files: Callable[[str], list[Path]]  # a path to the files, whose ids are joined; raises DataError and OSError


@dataclass(frozen=True, kw_only=True)
class TaskSource(Source):
    """A source of sequences made from a seed, without end."""

    task: Callable[[int, int], Task]  # vocab_size and n_items; raises SpecError


@dataclass(frozen=True, kw_only=True)
class QaSource(Source):
    """A source of questions and answers, of which only the answers count."""

    pairs: Callable[[DataSpec], Pairs]  # in order; raises DataError and OSError


@contextmanager
def _failures_named(name: str) -> Iterator[None]:
    """Name the source, which may be a plugin's, in whatever it raises; also in an exit, which would end us silently."""
    try:
        yield
    except GrowlabError:
        raise
    except (Exception, SystemExit) as error:
        why = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise DataError(f"source {name!r} failed: {why}; growlab --debug … shows where") from error


def _texts(name: str, given: object) -> Iterator[str]:
    """Yield a text, or the pieces of one. Raises DataError for anything else that a plugin's source may give."""
    for piece in given if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]:
        if not isinstance(piece, str):
            got = "None" if piece is None else type(piece).__name__
            raise DataError(f"source {name!r} gave {got} instead of text; let it return a str, or an iterable of them")
        yield piece


SOURCES: Registry[Source] = Registry("data source")


def register_source(
    name: str, summary: str, suffix: str = "", count_nulls: CountNulls | None = None
) -> Callable[[Read], Read]:
    """Decorate a function from a DataSpec to a text, or to the pieces of one: make it a source that a study can name.

    `suffix`, such as '.txt', for a source that reads the files of a folder with `growlab.data.folders.files_at`: then
    what it does not read is told. `count_nulls` for one of rows of which data.skip_nulls passes over some.
    """

    def add(read: Read) -> Read:
        SOURCES.add(name, TextSource(name=name, summary=summary, suffix=suffix, read=read, count_nulls=count_nulls))
        return read

    return add


def _without_path(spec: DataSpec) -> None:
    if spec.path:
        raise SpecError(
            f"source {spec.source!r} takes no path, got {spec.path!r}; leave data.path empty, or use data.source: text"
        )


@register_source("stdlib", "embedded: the English prose in the documentation of the running Python")
def _stdlib(spec: DataSpec) -> str:
    _without_path(spec)
    return read_stdlib()


@register_source("tiny-shakespeare", "1.1 MB of Shakespeare, fetched once into the cache")
def _tiny_shakespeare(spec: DataSpec) -> Iterator[str]:
    _without_path(spec)
    return read_text(str(TINY_SHAKESPEARE.file()))


@register_source("text", "a UTF-8 text file, or a folder: all .txt files below it, by relative path", ".txt")
def _text(spec: DataSpec) -> Iterator[str]:
    return read_text(spec.path)


@register_source(
    "jsonl",
    "JSON lines, or a folder of .jsonl files: the text in data.column, a newline between two",
    ".jsonl",
    count_nulls_of_jsonl,
)
def _jsonl(spec: DataSpec) -> Iterator[str]:
    return read_jsonl(spec.path, spec.column, skips_nulls=spec.skip_nulls)


@register_source(
    "parquet",
    "a Parquet file, or a folder of them: the text in data.column (needs pyarrow)",
    ".parquet",
    count_nulls_of_parquet,
)
def _parquet(spec: DataSpec) -> Iterator[str]:
    return read_parquet(spec.path, spec.column, skips_nulls=spec.skip_nulls)


@register_source(
    "hf",
    "hf:owner/name, a data set of the Hugging Face hub, its train split (needs datasets)",
    count_nulls=count_nulls_of_hub,
)
def _hub(spec: DataSpec) -> Iterator[str]:
    return read_hub(spec.path, spec.column, skips_nulls=spec.skip_nulls)


for _source in (
    TokenSource(
        name="bin",
        summary="token ids as nanoGPT and llm.c write them, of two bytes or data.dtype, or a folder of .bin files; "
        "with data.tokenizer file or ids",
        suffix=".bin",
        files=token_files,
    ),
    QaSource(
        name="qa",
        summary="questions and answers in JSON, JSON lines or Parquet, or lists of messages, for growlab chat; only "
        "answers count",
        pairs=read_pairs,
    ),
    TaskSource(
        name="recall",
        summary="synthetic: multi-query associative recall of data.n_items pairs; with data.tokenizer ids",
        task=Recall,
    ),
    TaskSource(
        name="copying",
        summary="synthetic: data.n_items symbols scattered among blanks, to be repeated in order",
        task=Copying,
    ),
    TaskSource(
        name="needle",
        summary="synthetic: data.n_items marked pairs in a haystack, one of which is asked for at the end",
        task=Needle,
    ),
):
    SOURCES.add(_source.name, _source)
