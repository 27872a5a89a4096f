import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from growlab.data import ByteTokenizer, CharTokenizer, Tokenizer, load_tokenizer, tokenizer_from_mapping
from growlab.errors import DataError

TEXTS = ["\n", "naïve e\u0301\n", "€\U0001f600\U0010ffff\x00", "\ufeffشكرا 漢字\r\n"]


def tokenizers_for(text: str) -> list[Tokenizer]:
    return [CharTokenizer.for_text(text), ByteTokenizer()]


@given(text=st.text(min_size=1), data=st.data())
def test_any_text_of_the_alphabet_comes_back_as_it_was(text: str, data: st.DataObject) -> None:
    other = data.draw(st.text(alphabet=sorted(set(text))))

    for tokenizer in tokenizers_for(text):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode(tokenizer.encode(other)) == other


@given(text=st.text(min_size=1))
@example(text=TEXTS[1])
@example(text=TEXTS[2])
def test_ids_stand_for_the_bytes_of_their_text(text: str) -> None:
    for tokenizer in tokenizers_for(text):
        ids = tokenizer.encode(text)

        assert tokenizer.n_bytes(ids) == len(text.encode())
        assert tokenizer.n_bytes(ids[1:]) == len(text.encode()) - tokenizer.n_bytes(ids[:1])
        assert tokenizer.n_bytes([]) == 0
        assert ids.max() < tokenizer.vocab_size


@pytest.mark.parametrize("text", TEXTS)
def test_a_saved_tokenizer_is_the_same_one(tmp_path: Path, text: str) -> None:
    for tokenizer in tokenizers_for(text):
        tokenizer.save(tmp_path / "new" / "tokenizer.json")

        assert load_tokenizer(tmp_path / "new" / "tokenizer.json") == tokenizer
        assert tokenizer_from_mapping(tokenizer.to_mapping()) == tokenizer


def test_a_saved_tokenizer_is_a_file_for_people(tmp_path: Path) -> None:
    CharTokenizer.for_text("été\n").save(tmp_path / "tokenizer.json")

    assert json.loads((tmp_path / "tokenizer.json").read_text()) == {"type": "char", "alphabet": ["\n", "t", "é"]}
    assert ByteTokenizer().to_mapping() == {"type": "byte"}
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_characters_are_numbered_by_code_point() -> None:
    tokenizer = CharTokenizer.for_text("hello, é")

    assert tokenizer.alphabet == " ,ehloé"
    assert tokenizer.encode("é, h").tolist() == [6, 1, 0, 3]
    assert tokenizer.vocab_size == 7


@pytest.mark.parametrize(("n_chars", "dtype"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (70_000, "uint32")])
def test_ids_have_the_smallest_dtype_that_holds_them(n_chars: int, dtype: str) -> None:
    text = "".join(map(chr, range(0x10000, 0x10000 + n_chars)))
    tokenizer = CharTokenizer.for_text(text)

    ids = tokenizer.encode(text)

    assert ids.dtype == tokenizer.dtype == np.dtype(dtype)
    assert ids.tolist() == list(range(n_chars))


def test_a_text_is_numbered_in_utf8_by_the_byte_tokenizer() -> None:
    ids = ByteTokenizer().encode("a€")

    assert ids.tolist() == [0x61, 0xE2, 0x82, 0xAC]
    assert ids.dtype == np.uint8
    assert ids.flags.writeable


def test_half_a_character_is_decoded_as_the_replacement_character() -> None:
    assert ByteTokenizer().decode([0x61, 0xE2, 0x82]) == "a\ufffd"


def test_unknown_characters_are_named_with_a_remedy() -> None:
    tokenizer = CharTokenizer.for_text("bcd")

    with pytest.raises(
        DataError, match=r"cannot encode 'a', 'é': not among the 3 characters that .* data\.tokenizer: byte"
    ):
        tokenizer.encode("abééa")


def test_of_many_unknown_characters_the_first_few_are_named() -> None:
    with pytest.raises(DataError, match=r"cannot encode 'z', 'y', '\\n', '\\udc80', '😀' and 2 more: not among"):
        CharTokenizer.for_text("m").encode("zy\n\udc80😀ab")


def test_half_a_surrogate_pair_is_not_text() -> None:
    with pytest.raises(DataError, match=r"cannot encode '\\udc80' at character 2: it is not text"):
        ByteTokenizer().encode("ab\udc80")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"type": "char", "alph', r"is not JSON \(Unterminated string"),
        ("\xff", r"is not JSON \('utf-8' codec"),
        ("", r"is not JSON \(Expecting value"),
        ("[" * 100_000, r"is not JSON \(maximum recursion depth"),
        ('{"type": "bpe"}', r"is no tokenizer of this growlab: {'type': 'bpe'}"),
        ('{"type": "char", "alphabet": []}', "is no tokenizer of this growlab"),
        ('{"type": "char", "alphabet": ["b", "a"]}', "is no tokenizer of this growlab"),
        ('{"type": "char", "alphabet": ["a", "a"]}', "is no tokenizer of this growlab"),
        ('{"type": "char", "alphabet": ["ab"]}', "is no tokenizer of this growlab"),
        ('{"type": "char", "alphabet": ["a", 1]}', "is no tokenizer of this growlab"),
        ("[" + "1, " * 100 + "1]", r"is no tokenizer of this growlab: \[1, 1, .{50,60}…; write it again"),
    ],
)
def test_a_damaged_tokenizer_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content.encode("latin1"))

    with pytest.raises(DataError, match=f"/tokenizer.json: {message}"):
        load_tokenizer(file)


def test_a_missing_tokenizer_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/tokenizer\.json: cannot be read: No such file or directory; give the"):
        load_tokenizer(tmp_path / "tokenizer.json")
