"""Bad data as a person meets it: one line that names the file and says what to do, and an exit code."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Growlab = Callable[..., Any]
TEXT = "the quick brown fox jumps over the lazy dog\n" * 50
BPE = ["data.tokenizer=bpe", "data.vocab_size=300"]
IDS = ["data.tokenizer=ids", "data.vocab_size=9"]
TOKENIZER = ["data.path=good.txt", "data.tokenizer=file", "data.tokenizer_path={name}"]


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# What is in the file, its name, what else is said with --set, the exit code, and what the line says after the name.
FILES: dict[str, tuple[bytes | None, str, list[str], int, str]] = {
    "text missing": (None, "a.txt", [], 1, "cannot be read: No such file or directory; check data.path"),
    "text empty": (b"", "a.txt", [], 1, "is empty; give a file with text in it"),
    "text in Latin-1": (b"caf\xe9", "a.txt", [], 1, "is not UTF-8 at byte 3 (0xe9); its encoding cannot be known"),
    "text in UTF-16": (b"\xff\xfea\0", "a.txt", [], 1, "is not UTF-8 at byte 0 (0xff) but looks like UTF-16; convert"),
    "text in UTF-16 without a mark": (
        "a text".encode("utf-16le"),
        "a.txt",
        [],
        1,
        "has a NUL at byte 1 and looks like UTF-16LE without its mark; convert it with: iconv -f UTF-16LE -t UTF-8",
    ),
    "text with a NUL far on": (b"a" * 2**18 + b"\0", "a.txt", [], 1, "has a NUL at byte 262144, so it is binary"),
    "text compressed": (gzip.compress(b"text"), "a.txt", [], 1, "is compressed; unpack it, such as: gunzip -c IN"),
    "lines compressed": (gzip.compress(b"{}"), "a.jsonl", [], 1, "line 1: is compressed; unpack it, such as: gunzip"),
    "text of one letter": (b"a", "a.txt", [], 1, "the train split has 0 tokens, train.seq_len 16 needs at least 17"),
    "text of one letter, bpe": (b"a", "a.txt", BPE, 1, "the train split has 0 tokens, train.seq_len 16 needs"),
    "lines missing": (None, "a.jsonl", [], 1, "cannot be read: No such file or directory; check data.path"),
    "lines empty": (b"", "a.jsonl", [], 1, "is empty; give a file with text in it"),
    "lines in Latin-1": (b'{"text": "\xe9"}', "a.jsonl", [], 1, "line 1: is not UTF-8 at byte 10 (0xe9); its encoding"),
    "lines without the column": (lines({"body": "x"}), "a.jsonl", [], 1, "line 1: has no column 'text'; it has: body"),
    "lines with null": (lines({"text": None}), "a.jsonl", [], 1, "line 1: column 'text' is not text, got None; repair"),
    "lines cut off": (lines({"text": "x"})[:-4], "a.jsonl", [], 1, "line 1: is not JSON (Unterminated string"),
    "lines too short": (lines({"text": "x"}), "a.jsonl", [], 1, "the train split has 0 tokens, train.seq_len 16 needs"),
    "parquet missing": (None, "a.parquet", [], 1, "cannot be read: No such file or directory; check data.path"),
    "parquet empty": (
        b"",
        "a.parquet",
        [],
        1,
        "cannot be read as Parquet (Parquet file size is 0 bytes); take another",
    ),
    "ids missing": (None, "a.bin", IDS, 1, "cannot be read: No such file or directory; check data.path"),
    "ids empty": (b"", "a.bin", IDS, 1, "is empty; give a file with token ids in it"),
    "ids cut off": (b"\1\0\2", "a.bin", IDS, 1, "has an odd number of bytes, ids of two bytes were expected; take"),
    "ids too large": (
        b"\1\0\x0a\0",
        "a.bin",
        IDS,
        1,
        "token 1 is 10, but there are 9 ids, the first 0; check data.vocab",
    ),
    "ids too short": (b"\1\0" * 90, "a.bin", IDS, 1, "the val split has 9 tokens, train.seq_len 16 needs at least 17"),
    "tokenizer missing": (
        None,
        "t.json",
        TOKENIZER,
        1,
        "cannot be read: No such file or directory; give the tokenizer",
    ),
    "tokenizer empty": (b"", "t.json", TOKENIZER, 1, "is not JSON (Expecting value"),
    "tokenizer of another sort": (b"{}", "t.json", TOKENIZER, 1, "is no tokenizer of this growlab: {}; write it again"),
}
SOURCES = {".txt": "text", ".jsonl": "jsonl", ".parquet": "parquet", ".bin": "bin", ".json": "text"}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_one_line_that_names_it(home: Path, growlab: Growlab, case: str) -> None:
    content, name, more, code, said = FILES[case]
    (home / "good.txt").write_text(TEXT)
    if content is not None:
        (home / name).write_bytes(content)
    settings = [f"data.source={SOURCES[Path(name).suffix]}", f"data.path={name}"]

    outcome = create(growlab, *settings, *(each.format(name=name) for each in more))

    assert outcome.code == code
    assert error_of(outcome).startswith(f"error: {home / name}: {said}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.path="], "source 'text' needs a path, got ''; set data.path to a .txt file or a folder of them"),
        (["data.source=bin", "data.path=", *IDS], "source 'bin' needs a path, got ''; set data.path to a .bin file"),
        (["data.source=bin"], "source 'bin' holds token ids, data.tokenizer 'char' did not make them; use data.token"),
        (IDS, "source 'text' gives text and data.tokenizer 'ids' is for sources of ids; set it to char, byte, bpe"),
        (["data.source=stdlib"], "source 'stdlib' takes no path, got '/"),
        (["data.source=hf", "data.path="], "source 'hf' needs the name of a data set, got ''; write data.source: hf:"),
        (["data.source=recall", "data.path="], "source 'recall' makes token ids from a seed; set data.tokenizer: ids"),
        (["data.source=recall", "data.path=", *IDS], "a synthetic task needs data.n_items of at least 1, got 0"),
        (
            ["data.source=needle", "data.path=", *IDS, "data.n_items=4"],
            "data.n_items 4 of this task needs data.vocab_s",
        ),
        (["data.source=copying", "data.path=", *IDS, "data.n_items=9"], "data.n_items 9 of this task needs train.seq_"),
        (
            ["data.tokenizer=bpe", f"data.vocab_size={10**21}"],
            f"tiny.yaml: data.vocab_size must be at most 1048576, got {10**21}",
        ),
        (['data={path: "a\\0b"}'], "path 'a\\x00b' holds a NUL, which no path can; give one without"),
        (["data.source=txt"], "unknown data source 'txt'; known: bin, copying, hf"),
    ],
)
def test_a_data_section_that_makes_no_sense_exits_with_2(growlab: Growlab, settings: list[str], said: str) -> None:
    outcome = create(growlab, *settings)

    assert outcome.code == 2
    assert error_of(outcome).startswith(f"error: {said}")


def test_a_folder_without_files_is_named(home: Path, growlab: Growlab) -> None:
    (home / "folder").mkdir()

    outcome = create(growlab, "data.path=folder")

    assert (outcome.code, error_of(outcome)) == (
        1,
        f"error: {home}/folder: has no .txt file in it or below it; check data.path, or name your files *.txt",
    )


@pytest.mark.parametrize("words", [["--set", "data.path=loop"], ["--plugin", "loop/x.py"]], ids=" ".join)
def test_a_link_to_itself_is_named(home: Path, growlab: Growlab, words: list[str]) -> None:
    (home / "loop").symlink_to("loop")

    outcome = growlab("study", "create", "tiny.yaml", *words)

    assert outcome.code in (1, 2)  # newer Pythons leave it to whoever opens it
    assert "loop" in error_of(outcome)
    assert "unexpected" not in error_of(outcome)


def test_a_folder_of_artifacts_that_is_a_link_to_itself_is_named(home: Path, growlab: Growlab) -> None:
    (home / "loop").symlink_to("loop")

    outcome = growlab("study", "run", "tiny.yaml", "--artifacts", "loop")

    assert outcome.code in (1, 2)
    assert "loop" in outcome.err
    assert "unexpected" not in outcome.err


@pytest.mark.parametrize("path", ["pipe.txt", "."])
def test_a_pipe_is_not_waited_for(home: Path, growlab: Growlab, path: str) -> None:
    os.mkfifo(home / "pipe.txt")

    outcome = create(growlab, f"data.path={path}")

    assert (outcome.code, error_of(outcome)) == (
        1,
        f"error: {home}/pipe.txt: is no regular file, and a corpus is read more than once; write it into a file",
    )


def test_a_cache_that_cannot_be_written_is_named(home: Path, growlab: Growlab, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("GROWLAB_CACHE", str(home / "file"))

    outcome = create(growlab, "data.tokenizer=byte")

    assert outcome.code == 1
    assert error_of(outcome).startswith(f"error: {home}/file/data/")
    assert error_of(outcome).endswith("; make room there, or set GROWLAB_CACHE to a folder that takes it")


def create(growlab: Growlab, *settings: str) -> Any:
    return growlab("study", "create", "tiny.yaml", *(word for each in settings for word in ("--set", each)))


def error_of(outcome: Any) -> str:
    """The only line that is no warning."""
    assert outcome.out == ""
    [line] = [line for line in outcome.err.splitlines() if not line.startswith("warning: ")]
    return str(line)
