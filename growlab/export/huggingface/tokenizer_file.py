"""A growlab tokenizer as the tokenizer.json that the package transformers reads; the same ids for every text.

One id is added behind those of the model: <|endoftext|>, which begins a text where a tool wants a beginning, pads a
batch, and is never written. Of a conversation the markers get names, and a template of turns.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from growlab.data.byte_level import ByteLevelTokenizer, byte_of_char
from growlab.data.markers import ChatTokenizer
from growlab.data.tokenizers import ByteTokenizer, CharTokenizer, IdTokenizer
from growlab.data.tokens import Tokenizer
from growlab.errors import CannotEncode, DataError

END_OF_TEXT = "<|endoftext|>"
_USER, _ASSISTANT, _END = "<|user|>", "<|assistant|>", "<|end|>"


@dataclass(frozen=True, kw_only=True)
class SpecialIds:
    """The ids that a generation asks for."""

    vocab_size: int  # of the model; also the id of <|endoftext|>
    start: int  # the token that the model reads where an id is none of its own: a newline, or id 0
    end: int | None  # with which an answer is over; None where nothing ever is
    never: tuple[int, ...]  # that the model must not write

    @property
    def generation(self) -> dict[str, Any]:
        """What generation_config.json says: without an end where there is none, a mask can be told from the padding."""
        ids: dict[str, Any] = {"bos_token_id": self.vocab_size, "pad_token_id": self.vocab_size}
        if self.end is not None:
            ids["eos_token_id"] = self.end
        return ids | ({"suppress_tokens": list(self.never)} if self.never else {})


@dataclass(frozen=True, kw_only=True)
class TokenizerFiles:
    """What AutoTokenizer reads."""

    tokenizer: dict[str, Any]  # tokenizer.json
    config: dict[str, Any]  # tokenizer_config.json


def special_ids(tokenizer: Tokenizer) -> SpecialIds:
    try:
        newline = tokenizer.encode("\n").tolist()
    except CannotEncode:
        newline = []
    n, start = tokenizer.vocab_size, newline[0] if newline else 0
    if isinstance(tokenizer, ChatTokenizer):
        return SpecialIds(vocab_size=n, start=start, end=tokenizer.end, never=tokenizer.speakers)
    return SpecialIds(vocab_size=n, start=start, end=None, never=())


def tokenizer_files(tokenizer: Tokenizer) -> TokenizerFiles | None:
    """Describe a tokenizer; None for bare ids, which stand for no text.

    Raises DataError for one whose ids the package tokenizers would not give.
    """
    if isinstance(tokenizer, IdTokenizer):
        return None
    text = tokenizer.text if isinstance(tokenizer, ChatTokenizer) else tokenizer
    markers = [_USER, _ASSISTANT, _END] if isinstance(tokenizer, ChatTokenizer) else []
    described = _described(text)
    names = [_free(name, described) for name in (*markers, END_OF_TEXT)]
    described["added_tokens"] += [_added(text.vocab_size + at, name) for at, name in enumerate(names)]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": names[-1],
        "eos_token": names[2] if markers else names[-1],
        "pad_token": names[-1],
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        # a text that spells a marker is text; in what a template made they are markers
        "split_special_tokens": not markers,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if markers:
        config["chat_template"] = _chat_template(*names[:3])
    _require_exact(described, tokenizer, names[-1])
    return TokenizerFiles(tokenizer=described, config=config)


def _chat_template(user: str, assistant: str, end: str) -> str:
    return (
        "{%- for message in messages -%}"
        f"{{%- if message['role'] == 'user' -%}}{{{{ '{user}' + message['content'] + '{assistant}' }}}}"
        f"{{%- elif message['role'] == 'assistant' -%}}{{{{ message['content'] + '{end}' }}}}"
        "{%- else -%}{{ raise_exception('this model knows the roles user and assistant alone') }}{%- endif -%}"
        "{%- endfor -%}"
    )


def _described(tokenizer: Tokenizer) -> dict[str, Any]:
    match tokenizer:
        case ByteLevelTokenizer():
            return _byte_level(tokenizer.to_mapping())
        case ByteTokenizer():
            char_of_byte = {byte: char for char, byte in byte_of_char().items()}
            vocabulary = {char_of_byte[byte]: byte for byte in range(256)}
            model = {"type": "BPE", "vocab": vocabulary, "merges": []}
            split = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
            return _json(model, split, split)
        case CharTokenizer():
            # a word is one character, and one that there is not is an error: nothing stands for it
            model = {"type": "WordLevel", "vocab": {char: at for at, char in enumerate(tokenizer.alphabet)}}
            model["unk_token"] = "none"  # more than one character: it is none of them
            pattern = {"Regex": r"[\s\S]"}
            split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
            return _json(model, split, {"type": "Fuse"})
    raise DataError(f"a {type(tokenizer).__name__} has no form that AutoTokenizer could read")


def _byte_level(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The file as it is, without what would add tokens to a text or cut it, as in training."""
    kept = dict(mapping) | {"truncation": None, "padding": None}
    if (kept.get("post_processor") or {}).get("type") != "ByteLevel":
        kept["post_processor"] = None
    kept["added_tokens"] = list(mapping.get("added_tokens", []))
    return kept


def _json(model: Mapping[str, Any], split: Mapping[str, Any], decoder: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": dict(split),
        "post_processor": None,
        "decoder": dict(decoder),
        "model": dict(model),
    }


def _added(id: int, content: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": content, **flags}


def _free(name: str, described: Mapping[str, Any]) -> str:
    """The name, or one like it that is no token of the tokenizer's own."""
    taken = {token["content"] for token in described["added_tokens"]} | set(described["model"]["vocab"])
    while name in taken:
        name = name.replace("|>", "_|>")
    return name


def _require_exact(described: Mapping[str, Any], tokenizer: Tokenizer, end_of_text: str) -> None:
    """Raise DataError unless the package tokenizers makes of the file what growlab's tokenizer is."""
    from growlab.data.extras import optional

    library = optional("tokenizers", needed_by="an export for transformers")
    read = library.Tokenizer.from_str(json.dumps(described))
    if read.token_to_id(end_of_text) != tokenizer.vocab_size:
        raise DataError(
            f"its vocabulary leaves ids out, so {end_of_text} would get id {read.token_to_id(end_of_text)}, not "
            f"{tokenizer.vocab_size}"
        )
    read.encode_special_tokens = True
    text = tokenizer.decode(list(range(tokenizer.vocab_size)))
    ids = tokenizer.encode(text).tolist()
    if read.encode(text, add_special_tokens=False).ids != ids or read.decode(ids) != text:
        raise DataError("the package tokenizers would give other ids for a text than the model was trained on")
