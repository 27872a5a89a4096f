"""Byte pairs, learnt or pretrained: exact, deterministic, and only from what a model may see."""

import json
import re
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growlab.data import (
    ByteLevelTokenizer,
    CharTokenizer,
    Corpus,
    byte_level,
    load_corpus,
    load_tokenizer,
    require_windows,
    tokenizer_from_mapping,
)
from growlab.errors import DataError, SpecError
from growlab.packages import install_command
from growlab.specs import DataSpec

package = pytest.importorskip("tokenizers")
SpecOf = Callable[..., DataSpec]

# Our own words, in the manner of a tale; ş, ğ, ı, ö, ü and ç are two bytes each.
TALE = """Bir varmış, bir yokmuş. Evvel zaman içinde, kalbur saman içinde, uzak bir köyde yaşlı bir çiftçi yaşarmış.
Çiftçinin üç oğlu varmış; en küçüğü, güneş doğmadan kalkar, ırmağın kıyısında söğütlerin altına otururmuş.
Bir gün ırmak ona demiş ki: «Ey çocuk, bana her gün bakıyorsun; söyle, ne görüyorsun?»
Çocuk düşünmüş, taşınmış: «Gökyüzünü görüyorum, bulutları görüyorum, bir de kendimi görüyorum,» demiş.
Irmak gülmüş: «Öyleyse yarın gel, sana görmediğini göstereyim.» Ertesi gün çocuk gelmiş, ırmak kurumuşmuş.
Taşların arasında küçücük bir tohum varmış; çocuk onu almış, toprağa ekmiş, üstüne gözyaşı dökmüş.
"""
TALES = "".join(f"{number}. {TALE}" for number in range(12))


@pytest.fixture(scope="module")
def learnt() -> ByteLevelTokenizer:
    return ByteLevelTokenizer.learn([TALES], 400)


@pytest.fixture
def pretrained(tmp_path: Path) -> Callable[..., Path]:
    """Writes the tokenizer.json of another program, with changes."""

    def write(**changes: Any) -> Path:
        model = package.Tokenizer(package.models.BPE())
        model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = package.decoders.ByteLevel()
        alphabet = package.pre_tokenizers.ByteLevel.alphabet()
        trainer = package.trainers.BpeTrainer(
            vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
        )
        model.train_from_iterator([TALE], trainer)
        model.add_tokens(["ırmak"])
        model.enable_truncation(5)
        model.enable_padding()
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(json.loads(model.to_str()) | changes))
        return path

    return write


# ---- learnt --------------------------------------------------------------------------------------------------


@given(text=st.text())
@example(text="\x00\x1c\x85 \n\n \u200b😀\U0010ffff")
def test_any_text_comes_back_with_its_bytes(learnt: ByteLevelTokenizer, text: str) -> None:
    ids = learnt.encode(text)

    assert learnt.decode(ids) == text
    assert learnt.n_bytes(ids) == len(text.encode()) == len(learnt.to_bytes(ids))
    assert learnt.n_bytes(ids[1:]) == len(text.encode()) - learnt.n_bytes(ids[:1])
    assert ids.dtype == np.uint16


def test_it_needs_fewer_tokens_than_bytes_and_no_more_ids_than_asked(learnt: ByteLevelTokenizer) -> None:
    ids = learnt.encode(TALE)

    assert learnt.vocab_size == 400
    assert ids.max() < 400
    assert len(TALE.encode()) / ids.size > 1.8


def test_learning_is_a_function_of_the_text_however_it_is_cut(learnt: ByteLevelTokenizer) -> None:
    pieces = [TALES[at : at + 777] for at in range(0, len(TALES), 777)]

    assert ByteLevelTokenizer.learn(pieces, 400) == learnt


@given(pieces=st.lists(st.text(alphabet=" \n\t.aş1'\u00a0", max_size=10), max_size=10))
@settings(max_examples=200)
def test_a_text_in_pieces_has_the_ids_of_the_whole(learnt: ByteLevelTokenizer, pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("growlab.data.pieces.SIZE", 1)
        patch.setattr("growlab.data.pieces._SEGMENT", 3)
        found = [each for ids in learnt.encode_pieces(pieces) for each in ids.tolist()]

    assert found == learnt.encode("".join(pieces)).tolist()


def test_a_text_without_more_pairs_has_fewer_tokens() -> None:
    assert ByteLevelTokenizer.learn(["ab"], 1000).vocab_size == 256
    assert ByteLevelTokenizer.learn([], 300).vocab_size == 256


def test_a_word_of_a_hundred_thousand_letters_is_learnt_from_in_parts() -> None:
    """Whole it would take time in the square of its length: hours for a genome."""
    genes = "".join("ACGT"[byte % 4] for byte in np.random.Philox(key=0).random_raw(100_000).tolist())

    tokenizer = ByteLevelTokenizer.learn([genes[:7], genes[7:]], 300)

    parts = list(byte_level._without_long_words(f"a {genes} b"))
    assert "".join(parts) == f"a {genes} b"
    assert max(len(word) for part in parts for word in part.split()) <= 4096
    assert tokenizer == ByteLevelTokenizer.learn([genes], 300)
    assert tokenizer.vocab_size == 300
    assert tokenizer.decode(tokenizer.encode(genes)) == genes


@pytest.mark.parametrize(
    "text",
    [
        "one\r\ntwo\r\n",
        "a\1b\1",
        "👩\u200d👩\u200d👧 e\u0301\u0302 😀 ",
        "no newline at all ",
        "A" * 3_000,
        "\r",
        "\ufeffa",
    ],
)
def test_strange_texts_are_exact_too(spec_of: SpecOf, text: str) -> None:
    corpus = load_bpe(spec_of, "x" + text * 30)

    tokenizer, splits = corpus.tokenizer, (corpus.train, corpus.val, corpus.test)
    assert "".join(map(tokenizer.decode, splits)) == "x" + (text * 30).replace("\r\n", "\n")
    assert sum(map(tokenizer.n_bytes, splits)) == len(("x" + (text * 30).replace("\r\n", "\n")).encode())


def test_half_a_surrogate_pair_is_not_text(learnt: ByteLevelTokenizer) -> None:
    with pytest.raises(DataError, match=r"cannot encode '\\udc80' at character 2: it is not text"):
        learnt.encode("ab\udc80")


def test_half_a_character_is_decoded_as_the_replacement_character(learnt: ByteLevelTokenizer) -> None:
    ids = [learnt.encode("\u2603")[0]]

    assert learnt.to_bytes(ids) == b"\xe2"
    assert learnt.decode(ids) == "\ufffd"


def test_what_is_saved_is_read_by_us_and_by_others(learnt: ByteLevelTokenizer, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"

    learnt.save(file)

    assert load_tokenizer(file) == learnt
    assert tokenizer_from_mapping(learnt.to_mapping()) == learnt
    assert package.Tokenizer.from_file(str(file)).encode(TALE).ids == learnt.encode(TALE).tolist()


# ---- as a corpus ---------------------------------------------------------------------------------------------


def load_bpe(spec_of: SpecOf, text: str = TALES, **changes: object) -> Corpus:
    return load_corpus(spec_of(text, **({"tokenizer": "bpe", "vocab_size": 400} | changes)))


def test_val_and_test_are_the_same_text_as_under_char(spec_of: SpecOf) -> None:
    by_char, by_pair = load_corpus(spec_of(TALES)), load_bpe(spec_of)

    for name in ("train", "val", "test"):
        one, other = getattr(by_char, name), getattr(by_pair, name)
        assert by_char.tokenizer.decode(one) == by_pair.tokenizer.decode(other)
        assert other.size < 0.7 * one.size


def test_only_the_train_split_shapes_the_tokens(spec_of: SpecOf) -> None:
    n_held_out = len(TALES) - len(load_corpus(spec_of(TALES)).train)
    another_end = TALES[:-n_held_out] + "qxz " * (n_held_out // 4) + "!" * (n_held_out % 4)

    one, other = load_bpe(spec_of), load_bpe(spec_of, another_end)

    assert one.tokenizer == other.tokenizer
    assert one.train.tolist() == other.train.tolist()
    assert one.val.tolist() != other.val.tolist()
    assert one.tokenizer == ByteLevelTokenizer.learn([TALES[:-n_held_out]], 400)


def test_bytes_per_token_are_those_of_the_split_without_its_first_token(spec_of: SpecOf) -> None:
    corpus = load_bpe(spec_of)
    text = load_corpus(spec_of(TALES)).tokenizer.decode(load_corpus(spec_of(TALES)).val)

    n_first = len(corpus.tokenizer.to_bytes(corpus.val[:1]))

    assert corpus.val_bytes_per_token == (len(text.encode()) - n_first) / (corpus.val.size - 1)


def test_without_a_test_part_there_is_no_test_split(spec_of: SpecOf) -> None:
    corpus = load_bpe(spec_of, test_fraction=0.0)

    assert corpus.test.size == 0
    assert corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val])) == TALES


def test_ids_and_tokens_are_kept_and_used_again(spec_of: SpecOf, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_bpe(spec_of)
    monkeypatch.setattr(ByteLevelTokenizer, "learn", None)
    monkeypatch.setattr(ByteLevelTokenizer, "encode_pieces", None)

    again = load_bpe(spec_of, tokenizer_sha256=first.tokenizer_sha256)

    assert again.train.tolist() == first.train.tolist()
    assert again.tokenizer == first.tokenizer
    assert isinstance(again.train, np.memmap)
    assert sorted(file.suffix for file in cache.glob("data/*")) == [".ids", ".json", ".json", ".tokenizer"]


def test_each_place_of_the_cuts_has_ids_of_its_own(spec_of: SpecOf, cache: Path) -> None:
    sizes = [load_bpe(spec_of, val_fraction=fraction).val.size for fraction in (0.25, 0.3, 0.25)]

    assert sizes[0] == sizes[2] < sizes[1]
    assert len(list(cache.glob("data/*.ids"))) == 2


@pytest.mark.parametrize("damage", ['"n_val": 0', '"n_val": -1', '"n_val": null', '"n_wal": 1'])
def test_sizes_that_do_not_add_up_are_noticed(spec_of: SpecOf, cache: Path, damage: str) -> None:
    before = load_bpe(spec_of).val.tolist()
    [about] = cache.glob("data/*.ids.json")
    content = about.read_text()
    about.write_text(content.replace(f'"n_val": {len(before)}', damage))

    assert load_bpe(spec_of).val.tolist() == before
    assert about.read_text() == content


@pytest.mark.parametrize("suffix", ["ids", "tokenizer"])
def test_damage_is_noticed_and_repaired(spec_of: SpecOf, cache: Path, suffix: str) -> None:
    before = load_bpe(spec_of).train.tolist()
    [file] = cache.glob(f"data/*.{suffix}")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")

    assert load_bpe(spec_of).train.tolist() == before
    assert file.read_bytes() == content


def test_other_tokens_than_the_recorded_are_refused(spec_of: SpecOf) -> None:
    with pytest.raises(DataError, match=r"data\.tokenizer bpe: is not the tokenizer that this trial recorded: sha256"):
        load_bpe(spec_of, tokenizer_sha256="0" * 64)


def test_a_split_shorter_than_a_window_is_named(spec_of: SpecOf) -> None:
    with pytest.raises(DataError, match=r"the val split has \d+ tokens, train\.seq_len 1000 needs at least 1001"):
        require_windows(load_bpe(spec_of), 1000)


def test_too_few_tokens_for_all_bytes_are_refused(spec_of: SpecOf) -> None:
    with pytest.raises(SpecError, match=r"data\.vocab_size must be at least 256 for data\.tokenizer bpe, got 255"):
        spec_of(TALES, tokenizer="bpe", vocab_size=255)


def test_without_the_package_the_command_is_named(spec_of: SpecOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    command = re.escape(install_command("tokenizers"))
    with pytest.raises(DataError, match=rf"needs the package 'tokenizers' \(.*\); run: {command}$"):
        load_bpe(spec_of)


# ---- pretrained ----------------------------------------------------------------------------------------------


def load_file(spec_of: SpecOf, path: Path, text: str = TALES) -> Corpus:
    return load_corpus(spec_of(text, tokenizer="file", tokenizer_path=str(path)))


def test_a_pretrained_tokenizer_is_exact_too(spec_of: SpecOf, pretrained: Callable[..., Path]) -> None:
    corpus = load_file(spec_of, pretrained())

    assert corpus.tokenizer.decode(np.concatenate([corpus.train, corpus.val, corpus.test])) == TALES
    assert corpus.tokenizer.vocab_size == 301  # with its special token and the word that was added
    assert corpus.val_bytes_per_token == corpus.tokenizer.n_bytes(corpus.val[1:]) / (corpus.val.size - 1)


def test_more_than_65536_tokens_need_four_bytes_each(spec_of: SpecOf, tmp_path: Path) -> None:
    alphabet = sorted(package.pre_tokenizers.ByteLevel.alphabet(), key=lambda char: (char == "Ã", char))  # é is Ã©
    pairs = list(product(alphabet, alphabet))  # one merge for each: 256 + 65,536 tokens
    vocabulary = {token: at for at, token in enumerate([*alphabet, *map("".join, pairs)])}
    model = package.Tokenizer(package.models.BPE(vocab=vocabulary, merges=pairs))
    model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = package.decoders.ByteLevel()
    model.save(str(tmp_path / "large.json"))

    corpora = [load_file(spec_of, tmp_path / "large.json", "é\nzz\n" * 50) for _ in range(2)]

    assert corpora[0].tokenizer.vocab_size == 65_792
    assert corpora[0].train.dtype == np.uint32
    assert corpora[0].train.max() > 65_535
    assert corpora[0].tokenizer.decode(corpora[0].val) == ("é\nzz\n" * 50)[150:200]
    assert corpora[1].train.tolist() == corpora[0].train.tolist()


def test_a_special_token_is_never_made_from_a_text_and_stands_for_no_bytes(pretrained: Callable[..., Path]) -> None:
    tokenizer = load_tokenizer(pretrained())

    ids = tokenizer.encode("son<|end|>ırmak")

    assert 0 not in ids
    assert tokenizer.decode(ids) == "son<|end|>ırmak"
    assert tokenizer.n_bytes([0]) == 0
    assert tokenizer.decode([0]) == "<|end|>"
    assert tokenizer.n_bytes([300]) == len("ırmak".encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "Lowercase"}}, r"^/.*/corpus\.txt: the tokenizer changes the text at '0\. Bir var"),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}},
            r"the tokenizer changes the text at",
        ),
        ({"decoder": None}, r"tokenizer\.json: is not byte-level \(its decoder is none\), so bits per byte would not"),
        (
            {"decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}},
            r"is not byte-level \(its decoder is Fuse and ByteFallback\)",
        ),
        ({"model": {"type": "Nonsense"}}, r"tokenizer\.json: cannot be read by the package 'tokenizers' \(.*\); take"),
        (
            {"model": {"type": "BPE", "vocab": {"a": 0, "語": 1}, "merges": []}},
            r"tokenizer\.json: is not byte-level: its token '語' has the character '語', which stands for no byte",
        ),
    ],
)
def test_a_tokenizer_that_is_not_exact_is_refused(
    spec_of: SpecOf, pretrained: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_file(spec_of, pretrained(**changes))


def test_a_text_that_a_tokenizer_cannot_encode_is_named(spec_of: SpecOf, tmp_path: Path, cache: Path) -> None:
    CharTokenizer("ab").save(tmp_path / "alphabet.json")

    with pytest.raises(
        DataError, match=r"^/.*/corpus\.txt: cannot encode 'B', 'i', 'r': not among the 2 characters that"
    ):
        load_file(spec_of, tmp_path / "alphabet.json", text="Bir" * 9)

    assert list((cache / "data").iterdir()) == []


def test_a_missing_tokenizer_file_is_named(spec_of: SpecOf, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/gone\.json: cannot be read: No such file or directory; give the"):
        load_file(spec_of, tmp_path / "gone.json")


def test_another_tokenizer_in_its_place_has_ids_of_its_own(spec_of: SpecOf, pretrained: Callable[..., Path]) -> None:
    one = load_file(spec_of, pretrained())
    other = load_file(spec_of, pretrained(added_tokens=[]))

    assert one.tokenizer_sha256 != other.tokenizer_sha256
    assert one.sha256 == other.sha256
    assert other.tokenizer.decode(other.train) == one.tokenizer.decode(one.train)
