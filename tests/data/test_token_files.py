"""nanoGPT's .bin: ids that somebody else's tokenizer made."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from growlab.data import ByteTokenizer, CharTokenizer, Corpus, load_corpus, require_windows
from growlab.errors import DataError, SpecError
from growlab.study import StudyData

TEXT = "Bir varmış, bir yokmuş.\n" * 10


def write_bin(file: Path, ids: object) -> Path:
    np.asarray(ids).astype("<u2").tofile(file)
    return file


def load(path: Path, **changes: object) -> Corpus:
    return load_corpus(StudyData(source="bin", path=str(path), **changes).spec())


@pytest.fixture
def with_alphabet(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A .bin and the alphabet that it was made with, as a data section names them."""
    tokenizer = CharTokenizer.for_text(TEXT)
    tokenizer.save(tmp_path / "alphabet.json")
    return write_bin(tmp_path / "train.bin", tokenizer.encode(TEXT)), {
        "tokenizer": "file",
        "tokenizer_path": str(tmp_path / "alphabet.json"),
    }


def test_ids_with_their_tokenizer_are_the_text_and_its_bytes(with_alphabet: tuple[Path, dict[str, str]]) -> None:
    path, tokenizer = with_alphabet

    corpus = load(path, **tokenizer)

    assert corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val, corpus.test])) == TEXT
    val = corpus.tokenizer.decode(corpus.val)
    assert corpus.val_bytes_per_token == len(val[1:].encode()) / len(val[1:]) > 1
    assert len(corpus.tokenizer_sha256) == 64


def test_one_file_is_mapped_where_it_lies(with_alphabet: tuple[Path, dict[str, str]], cache: Path) -> None:
    path, tokenizer = with_alphabet

    corpus = load(path, **tokenizer)

    assert isinstance(corpus.train, np.memmap)
    assert Path(corpus.train.filename) == path
    assert not corpus.train.flags.writeable
    assert not cache.exists()


def test_of_a_folder_train_comes_before_val_and_a_pickle_is_not_touched(tmp_path: Path) -> None:
    write_bin(tmp_path / "val.bin", [7, 8, 9])
    write_bin(tmp_path / "train.bin", range(7))
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(Trap()))

    corpora = [load(tmp_path, tokenizer="ids", vocab_size=10, test_fraction=0.3) for _ in range(2)]

    assert [corpus.test.tolist() for corpus in corpora] == [[7, 8, 9]] * 2
    assert corpora[0].train.tolist() == list(range(6))
    assert not (tmp_path / "sprung").exists()


class Trap:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return open, ("sprung",)


@pytest.mark.parametrize("damage", [b"", b"\1\0", b"\1\0" * 10])
def test_of_a_folder_the_joined_ids_are_joined_again_when_they_are_damaged(
    tmp_path: Path, cache: Path, damage: bytes
) -> None:
    for name, ids in {"a.bin": range(7), "b.bin": [7, 8, 9]}.items():
        write_bin(tmp_path / name, ids)
    before = load(tmp_path, tokenizer="ids", vocab_size=10).train.tolist()
    [joined] = cache.glob("data/*-bin.ids")
    joined.write_bytes(damage)

    assert load(tmp_path, tokenizer="ids", vocab_size=10).train.tolist() == before
    assert joined.stat().st_size == 20


def test_without_a_tokenizer_bits_per_byte_are_unknown(tmp_path: Path) -> None:
    corpus = load(write_bin(tmp_path / "a.bin", [3, 1, 2] * 50), tokenizer="ids", vocab_size=4)

    assert math.isnan(corpus.val_bytes_per_token)
    assert corpus.tokenizer.vocab_size == 4
    assert corpus.tokenizer.decode(corpus.val[:3]) == " 2 3 1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.bin: is empty; give a file with token ids in it"),
        (b"\1\0\2", r"a\.bin: has an odd number of bytes, ids of two bytes were expected; take another copy"),
        (b"\1\0\4\0", r"a\.bin: token 1 is 4, but there are 4 ids, the first 0; check data\.vocab_size or data\.token"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)

    with pytest.raises(DataError, match=message):
        load(tmp_path / "a.bin", tokenizer="ids", vocab_size=4)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.bin: cannot be read: No such file or directory"):
        load(tmp_path / "gone.bin", tokenizer="ids", vocab_size=4)


def test_ids_are_not_made_from_a_text(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"source 'bin' holds token ids, data\.tokenizer 'char' did not make them; use"):
        load(write_bin(tmp_path / "a.bin", [1, 2]))


def test_a_text_is_not_ids(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)

    with pytest.raises(SpecError, match=r"source 'text' gives text and data\.tokenizer 'ids' is for sources of ids"):
        load_corpus(StudyData(path=str(tmp_path / "a.txt"), tokenizer="ids", vocab_size=4).spec())


def test_other_ids_than_the_recorded_are_refused(tmp_path: Path) -> None:
    file = write_bin(tmp_path / "a.bin", [1, 2, 3] * 20)
    recorded = load(file, tokenizer="ids", vocab_size=4).sha256
    write_bin(file, [1, 2, 2] * 20)

    with pytest.raises(DataError, match=r"/a\.bin: is not the corpus that this trial recorded"):
        load(file, tokenizer="ids", vocab_size=4, sha256=recorded)


def test_another_tokenizer_than_the_recorded_is_refused(with_alphabet: tuple[Path, dict[str, str]]) -> None:
    path, tokenizer = with_alphabet
    recorded = load(path, **tokenizer).tokenizer_sha256
    ByteTokenizer().save(Path(tokenizer["tokenizer_path"]))

    with pytest.raises(DataError, match=r"/alphabet\.json: is not the tokenizer that this trial recorded: sha256"):
        load(path, **tokenizer, tokenizer_sha256=recorded)


def test_ids_shorter_than_a_window_are_named(tmp_path: Path) -> None:
    corpus = load(write_bin(tmp_path / "a.bin", [1, 2, 3] * 20), tokenizer="ids", vocab_size=4)

    with pytest.raises(DataError, match=r"the val split has 3 tokens, train\.seq_len 8 needs at least 9"):
        require_windows(corpus, 8)
