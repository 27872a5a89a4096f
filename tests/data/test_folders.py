"""A data folder as people's machines have it: copies that tools left, names in capitals, links, other files."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from growlab.data import SOURCES, load_corpus
from growlab.data.folders import unread_at
from growlab.errors import DataError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, StageSpec

TEXT = "the running text of a study\n" * 20


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / ".lab" / "books"  # hidden above the folder, which was named
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(TEXT)
    return folder


def put(folder: Path, *names: str, text: str = TEXT) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def spec_of(path: Path) -> DataSpec:
    return with_defaults(DataSpec, path=str(path))


def test_what_is_hidden_or_left_behind_by_a_tool_is_not_read_but_told(
    books: Path, sha256_of: Callable[[str], str]
) -> None:
    put(books, ".ipynb_checkpoints/a-checkpoint.txt", ".ipynb_checkpoints/deep/b.txt", "__MACOSX/._a.txt", "._a.txt")
    put(books, "old~/a.txt", "sub/lost+found/a.txt", "a.txt~")

    corpus = load_corpus(spec_of(books))

    assert corpus.sha256 == sha256_of(TEXT)
    [note] = corpus.notes
    assert note.startswith(
        f"{books}: 7 files are not read: ._a.txt, .ipynb_checkpoints/ (2), __MACOSX/ (1), a.txt~, old~/ (1) and 1 more;"
    )


def test_a_hidden_file_that_is_named_itself_is_read(books: Path, sha256_of: Callable[[str], str]) -> None:
    put(books, ".secret.TEXT~", text="more")

    corpus = load_corpus(spec_of(books / ".secret.TEXT~"))

    assert (corpus.sha256, corpus.notes) == (sha256_of("more"), ())


def test_an_ending_in_capitals_is_the_same_ending(books: Path, sha256_of: Callable[[str], str]) -> None:
    put(books, "B.TXT", text="capitals")

    corpus = load_corpus(spec_of(books))

    assert (corpus.sha256, corpus.notes) == (sha256_of(f"capitals\n{TEXT}"), ())


def test_lines_and_ids_in_capitals_are_read_and_their_hidden_copies_are_not(tmp_path: Path) -> None:
    lines, ids = tmp_path / "lines", tmp_path / "ids"
    put(lines, "A.JSONL", ".b.jsonl", text='{"text": "one"}\n')
    ids.mkdir()
    for name in ("TRAIN.BIN", ".val.bin"):
        np.arange(70, dtype="<u2").tofile(ids / name)

    documents = "".join(SOURCES["jsonl"].pieces(with_defaults(DataSpec, source="jsonl", path=str(lines))))
    corpus = load_corpus(with_defaults(DataSpec, source="bin", path=str(ids), tokenizer="ids", vocab_size=70))

    assert documents == "one"
    assert ".b.jsonl" in SOURCES["jsonl"].unread(str(lines))
    assert corpus.train.size + corpus.val.size + corpus.test.size == 70
    assert ".val.bin" in corpus.notes[0]


def test_whatever_is_not_read_is_counted_and_some_of_it_named(books: Path) -> None:
    put(books, *(f"{number}.csv" for number in range(9)), "z\x1b[31m.md")
    (books / "circle").symlink_to(books)
    (books / "empty").mkdir()

    assert unread_at(str(books), ".txt").startswith(
        f"{books}: 11 files are not read: 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 6 more; only names that end"
    )
    for number in range(9):
        (books / f"{number}.csv").unlink()
    assert "2 files are not read: circle/ (1), z\ufffd[31m.md;" in unread_at(str(books), ".txt")


def test_a_file_has_nothing_beside_it_and_a_name_that_is_no_text_is_told(books: Path) -> None:
    assert unread_at(str(books / "a.txt"), ".txt") == unread_at(str(books), ".txt") == ""

    (books / os.fsdecode(b"caf\xe9.md")).touch()

    assert "1 file is not read: caf\ufffd.md;" in unread_at(str(books), ".txt")


def test_a_folder_of_nothing_but_hidden_files_says_so(tmp_path: Path) -> None:
    put(tmp_path, ".a.txt", "notes.md")

    with pytest.raises(
        DataError, match=r"has no \.txt file .* name your files \*\.txt \(not read: \.a\.txt, notes\.md\)"
    ):
        load_corpus(spec_of(tmp_path))


def test_a_link_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "a.txt")

    for path in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(DataError, match=r"/a\.txt: cannot be read: Too many levels of symbolic links"):
            load_corpus(spec_of(path))


def test_the_folder_of_a_stage_is_told_of_too(books: Path, tmp_path: Path) -> None:
    put(tmp_path / "stage", "b.txt", "c.md", text="words of a stage\n" * 9)
    stages = (StageSpec(until=0.5, path=str(tmp_path / "stage"), sha256="", plasticity=0.0),)
    stages += (StageSpec(until=1.0, path="", sha256="", plasticity=0.0),)

    assert load_corpus(spec_of(books), stages).notes[0].startswith(f"{tmp_path}/stage: 1 file is not read: c.md;")


def test_a_corpus_that_was_recorded_with_hidden_files_is_another_and_they_are_named(books: Path) -> None:
    put(books, ".old.txt")

    with pytest.raises(
        DataError, match=r"recorded abababababab… \(.*1 file is not read: \.old\.txt\); bring the recorded"
    ):
        load_corpus(with_defaults(DataSpec, path=str(books), sha256="ab" * 32))
