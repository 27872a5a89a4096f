"""The tokenizer.json of an export gives the ids of growlab's own tokenizer, and says what begins and pads a text."""

import json
from typing import Any

import pytest
import tokenizers

from growlab.data.byte_level import ByteLevelTokenizer
from growlab.data.markers import ChatTokenizer
from growlab.data.tokenizers import ByteTokenizer, CharTokenizer, IdTokenizer
from growlab.data.tokens import Tokenizer
from growlab.errors import DataError
from growlab.export.huggingface.tokenizer_file import special_ids, tokenizer_files

TEXT = "Größe 10 € 🙂\n\n  the cat sat on the mat. <|endoftext|> the cat\tsat\r\n on <|user|> and\x00 the mat"
TOKENIZERS = {
    "byte": ByteTokenizer(),
    "char": CharTokenizer.for_text(TEXT),
    "bpe": ByteLevelTokenizer.learn([TEXT * 3], 300),
}


def read(tokenizer: Tokenizer) -> tuple[Any, dict[str, Any]]:
    files = tokenizer_files(tokenizer)
    assert files is not None
    return tokenizers.Tokenizer.from_str(json.dumps(files.tokenizer)), files.config


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_ids_of_a_text_are_the_same_there_and_back(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    own, config = read(tokenizer)
    own.encode_special_tokens = config["split_special_tokens"]

    ids = own.encode(TEXT).ids

    assert ids == tokenizer.encode(TEXT).tolist()
    assert own.decode(ids) == TEXT
    assert own.token_to_id(config["pad_token"]) == tokenizer.vocab_size
    assert config["pad_token"] == config["bos_token"] == config["eos_token"] == "<|endoftext|>"


@pytest.mark.parametrize("name", TOKENIZERS)
def test_markers_of_a_conversation_have_names_and_a_template(name: str) -> None:
    chat = ChatTokenizer(TOKENIZERS[name])
    own, config = read(chat)
    import jinja2

    turns = [("user", "the cat"), ("assistant", "sat"), ("user", "on")]
    messages = [{"role": role, "content": content} for role, content in turns]
    text = jinja2.Template(config["chat_template"]).render(messages=messages)

    assert own.encode(text).ids == chat.question("the cat") + chat.answer("sat") + chat.question("on")
    assert special_ids(chat).generation == {
        "bos_token_id": chat.vocab_size,
        "eos_token_id": chat.end,
        "pad_token_id": chat.vocab_size,
        "suppress_tokens": [chat.user, chat.assistant],
    }


def test_a_character_that_the_model_never_saw_is_an_error_as_it_is_here() -> None:
    own, _ = read(TOKENIZERS["char"])

    with pytest.raises(Exception, match="UNK"):
        own.encode("½")


def test_a_name_that_the_tokenizer_has_itself_is_left_to_it() -> None:
    raw = TOKENIZERS["bpe"].to_mapping()
    raw["added_tokens"] = [
        {"id": 300, "content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": True}
    ]

    own, config = read(ByteLevelTokenizer.from_mapping(raw))

    assert config["pad_token"] == "<|endoftext_|>"
    assert own.token_to_id("<|endoftext_|>") == 301


def test_bare_ids_stand_for_no_text_and_have_no_file() -> None:
    assert tokenizer_files(IdTokenizer(5)) is None
    assert special_ids(IdTokenizer(5)).start == 0


def test_a_tokenizer_that_leaves_ids_out_is_refused() -> None:
    raw = TOKENIZERS["bpe"].to_mapping()
    last = max(raw["model"]["vocab"], key=raw["model"]["vocab"].get)
    raw["model"]["vocab"][last] = 310

    with pytest.raises(DataError, match=r"leaves ids out, so <\|endoftext\|> would get id 300, not 311"):
        tokenizer_files(ByteLevelTokenizer.from_mapping(raw))


def test_a_text_begins_where_there_is_no_beginning_with_a_newline_or_the_first_id() -> None:
    assert special_ids(ByteTokenizer()).start == ord("\n")
    assert special_ids(CharTokenizer.for_text("abc")).start == 0
