"""Cutting a text means nothing: properties of the pieces, and memory that does not grow with the text."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import load_corpus
from growlab.data.pieces import Digest, gathered, joined_by_newlines, sections, segments
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

Sha256Of = Callable[[str], str]
PIECES = st.lists(st.text(alphabet="ab \n\té", max_size=12), max_size=8)


@given(pieces=PIECES)
def test_gathered_pieces_are_the_same_text_without_empty_ones(pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("growlab.data.pieces.SIZE", 10)
        found = list(gathered(pieces))

    assert "".join(found) == "".join(pieces)
    assert all(found)
    assert all(len(piece) >= 10 for piece in found[:-1])


@given(pieces=PIECES, first=st.integers(0, 50), more=st.integers(0, 50))
def test_sections_are_the_text_between_the_cuts(pieces: list[str], first: int, more: int) -> None:
    text = "".join(pieces)
    cuts = (min(first, len(text)), min(first + more, len(text)))

    found = list(sections(pieces, cuts))

    parts = ["".join(piece for number, piece in found if number == section) for section in range(3)]
    assert parts == [text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]]
    assert [number for number, _ in found] == sorted(number for number, _ in found)
    assert all(piece for _, piece in found)


@given(pieces=PIECES)
def test_segments_do_not_depend_on_the_pieces(pieces: list[str]) -> None:
    text = "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("growlab.data.pieces.SIZE", 1)
        patch.setattr("growlab.data.pieces._SEGMENT", 4)
        patch.setattr("growlab.data.pieces._LONGEST", 20)
        found = list(segments(pieces))

        assert found == list(segments([text])) == list(segments(text))

    assert "".join(found) == text
    assert all(4 < len(segment) <= 20 for segment in found[:-1])
    assert all(len(each) == 20 or (each.endswith("\n") and not each[-2].isspace()) for each in found[:-1])


def test_documents_are_joined_by_one_newline() -> None:
    assert "".join(joined_by_newlines(["a", "", "b\n", "c"])) == "a\n\nb\n\nc"
    assert list(joined_by_newlines([])) == []


def test_a_digest_is_that_of_the_whole(sha256_of: Sha256Of) -> None:
    digest = Digest()

    assert list(digest.watch(["a", "b€"])) == ["a", "b€"]
    assert digest.n_chars == 3
    assert digest.sha256 == sha256_of("ab€")


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_the_memory_it_takes_does_not_grow_with_the_text(tmp_path: Path, tokenizer: str) -> None:
    file = tmp_path / "corpus.txt"
    line = "Bir varmış, bir yokmuş; evvel zaman içinde, kalbur saman içinde.\n".encode()
    file.write_bytes(line * (24_000_000 // len(line)))
    spec = with_defaults(DataSpec, path=str(file), tokenizer=tokenizer)

    tracemalloc.start()
    corpus = load_corpus(spec)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert corpus.train.size > 15_000_000
    assert peak < 14_000_000
