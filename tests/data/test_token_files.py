"""nanoGPT's .bin: ids that somebody else's tokenizer made."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from growlab.data import ByteTokenizer, CharTokenizer, Corpus, load_corpus, recorded_curriculum, require_windows
from growlab.errors import DataError, SpecError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, StageSpec

TEXT = "Bir varmış, bir yokmuş.\n" * 10


def write_bin(file: Path, ids: object) -> Path:
    np.asarray(ids).astype("<u2").tofile(file)
    return file


def load(path: Path, **changes: object) -> Corpus:
    return load_corpus(with_defaults(DataSpec, source="bin", path=str(path), **changes))


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
        load_corpus(with_defaults(DataSpec, path=str(tmp_path / "a.txt"), tokenizer="ids", vocab_size=4))


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


# ---- widths and headers --------------------------------------------------------------------------------------

WIDE = np.random.default_rng(0).integers(0, 30_000, 400)  # ids of a real vocabulary


def ids_of(corpus: Corpus) -> list[int]:
    return np.concatenate([corpus.train, corpus.val, corpus.test]).tolist()


def headed(file: Path, ids: object, magic: int, dtype: str, n_ids: int | None = None) -> Path:
    content = np.asarray(ids).astype(dtype)
    header = np.zeros(256, dtype="<i4")
    header[:3] = magic, 1, content.size if n_ids is None else n_ids
    file.write_bytes(header.tobytes() + content.tobytes())
    return file


@pytest.mark.parametrize(("ids", "found"), [(WIDE, "0"), (WIDE + 70_000, "at most 1"), (WIDE % 200, "0")])
def test_ids_of_four_bytes_are_recognised_and_read_on_request(tmp_path: Path, ids: np.ndarray, found: str) -> None:
    file = tmp_path / "a.bin"
    ids.astype("<u4").tofile(file)
    message = (
        rf"a\.bin: looks like ids of four bytes \(every second number of two bytes is {found}\); set data\.dtype: uin"
    )

    with pytest.raises(DataError, match=message):
        load(file, tokenizer="ids", vocab_size=100_000)
    corpus = load(file, tokenizer="ids", vocab_size=100_000, dtype="uint32")

    assert ids_of(corpus) == ids.tolist()
    assert corpus.dtype == "uint32"


def test_ids_of_eight_bytes_are_recognised(tmp_path: Path) -> None:
    WIDE.astype("<u8").tofile(tmp_path / "a.bin")

    with pytest.raises(DataError, match=r"looks like ids of eight bytes .*; write them in four and set data\.dtype"):
        load(tmp_path / "a.bin", tokenizer="ids", vocab_size=100_000)


@pytest.mark.parametrize(
    "ids",
    [
        [0] * 400,
        [*WIDE[:200], *[0] * 200],  # padding
        [3, 1, 2, 0] * 50,
        [each for pair in zip(WIDE[:100], WIDE[100:200], strict=True) for each in (*pair, 0)],  # a 0 after each two
        [40_000, 0],
    ],
)
def test_ids_of_two_bytes_with_many_zeros_are_what_they_are(tmp_path: Path, ids: list[int]) -> None:
    corpus = load(write_bin(tmp_path / "a.bin", ids), tokenizer="ids", vocab_size=65_536)

    assert ids_of(corpus) == list(ids)
    assert corpus.dtype == "uint16"


def test_where_every_second_id_is_0_the_width_can_be_said(tmp_path: Path) -> None:
    alternating = [each for number in range(1, 200) for each in (number, 0)]
    file = write_bin(tmp_path / "a.bin", alternating)

    with pytest.raises(DataError, match=r"or data\.dtype: uint16 if its ids are of two bytes"):
        load(file, tokenizer="ids", vocab_size=256)
    assert ids_of(load(file, tokenizer="ids", vocab_size=256, dtype="uint16")) == alternating


def test_ids_of_another_width_than_was_said_are_refused(tmp_path: Path) -> None:
    file = write_bin(tmp_path / "a.bin", WIDE)

    with pytest.raises(DataError, match=r"token 0 is \d+, but there are 30000 ids.* data\.dtype is the width"):
        load(file, tokenizer="ids", vocab_size=30_000, dtype="uint32")
    write_bin(file, WIDE[:3])
    with pytest.raises(DataError, match=r"has 6 bytes, ids of four bytes were expected; take another copy"):
        load(file, tokenizer="ids", vocab_size=30_000, dtype="uint32")


@pytest.mark.parametrize(("magic", "dtype", "width"), [(20240520, "<u2", "two"), (20240801, "<u4", "four")])
def test_the_header_of_a_shard_is_skipped_and_told(tmp_path: Path, magic: int, dtype: str, width: str) -> None:
    corpus = load(headed(tmp_path / "a.bin", WIDE, magic, dtype), tokenizer="ids", vocab_size=65_536)

    assert ids_of(corpus) == WIDE.tolist()
    assert corpus.notes == (
        f"{tmp_path}/a.bin: llm.c / modded-nanogpt header of 1,024 bytes (int32 {magic}) is skipped, "
        f"400 ids of {width} bytes follow",
    )
    assert corpus.dtype == "auto"  # the file says it at each load


def test_shards_are_joined_without_their_headers(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    headed(shards / "a.bin", WIDE[:300], 20240520, "<u2")
    headed(shards / "b.bin", WIDE[300:], 20240520, "<u2")
    plain = write_bin(tmp_path / "plain.bin", WIDE)

    corpus = load(shards, tokenizer="ids", vocab_size=65_536)

    assert ids_of(corpus) == WIDE.tolist()
    assert corpus.sha256 == load(plain, tokenizer="ids", vocab_size=65_536).sha256
    assert f"{shards}: 2 files: llm.c / modded-nanogpt header" in corpus.notes[0]


def test_a_shard_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    file = headed(tmp_path / "a.bin", WIDE, 20240520, "<u2", n_ids=500)

    with pytest.raises(DataError, match="its header says 500 ids of two bytes, but 800 bytes follow it; take another"):
        load(file, tokenizer="ids", vocab_size=65_536)


def test_shards_of_two_widths_are_refused(tmp_path: Path) -> None:
    headed(tmp_path / "a.bin", WIDE, 20240520, "<u2")
    headed(tmp_path / "b.bin", WIDE, 20240801, "<u4")

    with pytest.raises(DataError, match=r"b\.bin: has ids of four bytes, but .*a\.bin has ids of two; give files of"):
        load(tmp_path, tokenizer="ids", vocab_size=65_536)


def test_a_corpus_recorded_before_widths_were_known_keeps_its_bits(tmp_path: Path) -> None:
    file = headed(tmp_path / "a.bin", WIDE, 20240520, "<u2")
    whole = np.fromfile(file, dtype="<u2")

    corpus = load(file, tokenizer="ids", vocab_size=65_536, dtype="uint16", sha256=sha256(whole).hexdigest())

    assert ids_of(corpus) == whole.tolist()
    assert "is read as ids, as data.dtype was given; leave data.dtype out to skip it" in corpus.notes[0]


def test_a_stage_with_a_header_beside_a_bare_file_is_read_at_each_load_alike(tmp_path: Path) -> None:
    stage = headed(tmp_path / "stage.bin", WIDE[:100], 20240520, "<u2")
    data = with_defaults(
        DataSpec, source="bin", path=str(write_bin(tmp_path / "a.bin", WIDE)), tokenizer="ids", vocab_size=65_536
    )
    stages = [StageSpec(until=1.0, path=str(stage), sha256="", plasticity=0.0)]

    first = load_corpus(data, stages)
    again = load_corpus(replace(data, dtype=first.dtype), recorded_curriculum(stages, first))

    assert np.asarray(again.training(0)).tolist() == WIDE[:100].tolist()


@pytest.mark.parametrize(("save", "sort"), [(np.save, "a NumPy file"), (np.savez, "a zip archive")])
def test_a_file_of_another_sort_is_named(tmp_path: Path, save: Callable[..., None], sort: str) -> None:
    with (tmp_path / "a.bin").open("wb") as stream:
        save(stream, WIDE)

    with pytest.raises(DataError, match=rf"a\.bin: is {sort}.*, not bare token ids; write its ids alone"):
        load(tmp_path / "a.bin", tokenizer="ids", vocab_size=65_536)
