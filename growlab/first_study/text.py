"""What a text is, seen before anything is made of it: its size, alphabet, lines and copies of lines."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median

from growlab.data.folders import files_at, os_errors_named
from growlab.data.sources import SOURCES, TextSource
from growlab.errors import DataError, UsageError
from growlab.escapes import quoted
from growlab.first_study.language import describe_language
from growlab.scalar import with_defaults
from growlab.specs import DataSpec
from growlab.suggest import command

MOST_READ = 1 << 25  # characters that are looked at
FEWEST = 10_000  # characters of which something can be learnt and a part be held out
_SAMPLE = 1 << 15  # characters of each piece that tell the language
_TABLES = (".json", ".jsonl", ".parquet", ".csv", ".tsv")  # whose brackets and commas are not what should be learnt
_COPY = 40  # characters of a line from which on it is a copy when it comes again, not a phrase
MUCH_COPIED = 0.05  # of a text


@dataclass(frozen=True, kw_only=True)
class TextFacts:
    """What was seen of a text."""

    path: str
    n_files: int
    n_bytes: int  # of the files
    n_chars: int  # that were looked at
    is_whole: bool  # all was looked at
    alphabet: str  # the characters that it has, sorted
    language: str  # and letters, in words
    n_lines: int
    line_median: int  # characters, of lines that are not empty
    line_longest: int
    file_median: int  # bytes
    file_longest: int
    copied: float  # share of its characters that are in lines of 40 characters or more that came before
    unread: str  # what of a folder is not read, in one line; '' for nothing

    @property
    def encoding(self) -> str:
        return "ASCII" if self.alphabet.isascii() else "UTF-8"


def look_at(path: str) -> TextFacts:
    """Look at a text file, or at all .txt files below a folder.

    Raises UsageError for what is not there, DataError for what is unreadable, no UTF-8, empty or too small to learn
    from.
    """
    source = SOURCES["text"]
    assert isinstance(source, TextSource)
    if not Path(path).exists():
        raise UsageError(f"{quoted(path)}: no such file or folder; give a text file, or a folder of .txt files")
    if Path(path).suffix.lower() in _TABLES:
        chat = command("study run", "chat", options=["--set", f"data.path={path}"])
        raise UsageError(
            f"{quoted(path)} is a table, not a text; of questions and answers, try: {chat}; a column of texts is read "
            "by a study with data.source: jsonl or parquet, and data.column"
        )
    try:
        with os_errors_named(path):
            sizes = [file.stat().st_size for file in files_at(path, source.suffix, "text")]
            unread = source.unread(path)
        seen = _look(source.pieces(with_defaults(DataSpec, source="text", path=path)))
    except DataError as error:
        raise DataError(str(error).replace("check data.path, or ", "")) from None
    _require_enough(path, seen.n_chars)
    return TextFacts(
        path=path,
        n_files=len(sizes),
        n_bytes=sum(sizes),
        n_chars=seen.n_chars,
        is_whole=seen.n_chars < MOST_READ,
        alphabet="".join(sorted(seen.alphabet)),
        language=describe_language("".join(seen.sample)),
        n_lines=seen.n_lines,
        line_median=int(median(seen.lengths)) if seen.lengths else 0,
        line_longest=max(seen.lengths, default=0),
        file_median=int(median(sizes)),
        file_longest=max(sizes),
        copied=seen.n_copied / seen.n_chars,
        unread=unread,
    )


def _look(pieces: Iterator[str]) -> "_Seen":
    seen = _Seen()
    for piece in pieces:
        seen.add(piece)
        if seen.n_chars >= MOST_READ:
            break
    return seen


class _Seen:
    """What was seen of a text that passes by in pieces."""

    def __init__(self) -> None:
        self.n_chars = self.n_lines = self.n_copied = 0
        self.alphabet = set[str]()
        self.sample = list[str]()
        self.lengths = list[int]()
        self._hashes = set[bytes]()
        self._rest = ""  # of a line that goes on in the next piece

    def add(self, piece: str) -> None:
        self.n_chars += len(piece)
        self.alphabet.update(piece)
        self.sample.append(piece[:_SAMPLE])
        *lines, self._rest = (self._rest + piece).split("\n")
        self.n_lines += len(lines)
        for line in filter(None, map(str.strip, lines)):
            self.lengths.append(len(line))
            if len(line) >= _COPY:
                self._look_for_copy(line)

    def _look_for_copy(self, line: str) -> None:
        known = blake2b(line.encode(errors="surrogatepass"), digest_size=8).digest()
        self.n_copied += len(line) if known in self._hashes else 0
        self._hashes.add(known)


def _require_enough(path: str, n_chars: int) -> None:
    if not n_chars:
        raise DataError(f"{path}: is empty; give a file, or a folder of .txt files, with text in it")
    if n_chars < FEWEST:
        raise DataError(
            f"{path}: has {n_chars:,} characters, and nothing can be learnt from fewer than {FEWEST:,}, five pages; "
            "give more text"
        )
