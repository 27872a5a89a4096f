"""Questions and their answers: entries of a JSON list, JSON lines or rows of a Parquet file.

    {"question": …, "answer": …}              the keys are those of data.question and data.answer
    {"instruction": …, "input": …, …}         data.question: instruction+input joins what is there of several
    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}, …]}     data.messages: messages

What becomes of them is in turns.py.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from growlab.data.columns import MISSING, value_at
from growlab.data.tables import parquet_rows
from growlab.data.text_files import not_utf8
from growlab.errors import DataError, SpecError
from growlab.escapes import shortened
from growlab.specs import DataSpec

_EXAMPLE = '{"question": "…", "answer": "…"}'
_EXAMPLE_MESSAGE = '{"role": "user", "content": "…"}'
_ASKS, _ANSWERS = ("user", "human"), ("assistant", "gpt", "model", "bot")
_SAYS = (("role", "content"), ("from", "value"))  # keys of a message: who, and what


class Pair(NamedTuple):
    question: str
    answer: str
    where: str  # what a message calls it, such as 'entry 3'


class Pairs(NamedTuple):
    """What a file holds."""

    pairs: list[Pair]
    notes: tuple[str, ...]  # what was passed over, a line each


# ---- the file ------------------------------------------------------------------------------------------------


def read_pairs(spec: DataSpec) -> Pairs:
    """Read all pairs of a file, in its order and as they are written; other keys are passed over.

    With data.skip_nulls entries without a question or an answer are passed over and counted. Raises SpecError without a
    path, DataError that names the entry or the line, and OSError.
    """
    path = spec.path
    if not path:
        raise SpecError("source 'qa' needs a path, got ''; set data.path to a JSON file of questions and answers")
    file = Path(path)
    if file.exists() and not file.is_file():
        raise DataError(f"{path}: is no regular file; give one JSON file of questions and answers")
    pairs, n_null, n_unanswered = [], 0, 0
    for entry, where in _entries(file, spec):
        found, n_left = _pairs_of(entry, spec, where)
        n_null += not found and not n_left
        n_unanswered += n_left
        pairs += found
    if not pairs:
        raise DataError(f"{path}: has no question with an answer; write entries such as {_EXAMPLE}")
    notes = []
    if n_null:
        notes.append(f"{path}: {n_null:,} entries without a question or an answer are passed over")
    if n_unanswered:
        notes.append(f"{path}: {n_unanswered:,} messages are in no pair: of a system, or without an answer after them")
    return Pairs(pairs, tuple(notes))


def _entries(file: Path, spec: DataSpec) -> Iterator[tuple[Any, str]]:
    """Yield each entry with what a message calls it. A list begins with a bracket, a line of JSON lines does not."""
    if file.suffix.lower() == ".parquet":
        columns = [spec.messages] if spec.messages else [*spec.question.split("+"), spec.answer]
        yield from ((row, f"row {number}") for number, row in enumerate(parquet_rows(file, columns), 1))
        return
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(spec.path, error) from None
    if not text.strip():
        raise DataError(f"{spec.path}: is empty; write entries such as {_EXAMPLE}")
    if text.lstrip().startswith("["):
        yield from ((entry, f"entry {number}") for number, entry in enumerate(_parsed(text, spec.path), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _parsed(line, f"{spec.path}: line {number}"), f"line {number}"


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON ({error}); write a list, or lines, of {_EXAMPLE}") from None


def _pairs_of(entry: object, spec: DataSpec, where: str) -> tuple[list[Pair], int]:
    """The pairs of an entry, and how many of its messages are in none."""
    place = f"{spec.path}: {where}"
    if not isinstance(entry, dict):
        raise DataError(f"{place}: is not an object, got {shortened(entry)}; write it like {_EXAMPLE}")
    if spec.messages:
        return _pairs_of_messages(entry, spec, where)
    asked = [_text_of(entry, key, place, spec.skip_nulls or at > 0) for at, key in enumerate(spec.question.split("+"))]
    answer = _text_of(entry, spec.answer, place, spec.skip_nulls)
    if not asked[0] or not answer:
        return [], 0
    return [Pair("\n".join(part for part in asked if part), answer, where)], 0


def _text_of(entry: Mapping[str, Any], key: str, where: str, may_lack: bool) -> str:
    """The text at a key; '' for none, where one may lack it."""
    text = value_at(entry, key)
    if may_lack and (text is MISSING or text is None or text == ""):
        return ""
    if text is MISSING:
        raise DataError(
            f"{where}: has no {key!r}; it has: {', '.join(map(str, entry)) or 'none'}; write it like {_EXAMPLE}, or "
            "name its keys: data.question and data.answer, or data.messages"
        )
    return _checked(text, key, where)


def _checked(text: object, key: str, where: str) -> str:
    pass_over = ", or pass over such entries with data.skip_nulls: true"
    if not isinstance(text, str):
        remedy = pass_over if text is None else ""
        raise DataError(f"{where}: {key!r} is not text, got {shortened(text)}; repair or drop the entry{remedy}")
    if not text:
        raise DataError(f"{where}: {key!r} is empty, got ''; fill it in or drop the entry{pass_over}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise DataError(
            f"{where}: {key!r} has half a surrogate pair at character {at}; repair or drop the entry"
        ) from None
    return text


# ---- lists of messages ---------------------------------------------------------------------------------------


def _pairs_of_messages(entry: Mapping[str, Any], spec: DataSpec, where: str) -> tuple[list[Pair], int]:
    """Each message of a user that one of the assistant follows is a question, and that is its answer.

    What was said before is no part of a pair: training joins turns to sessions of its own.
    """
    place, key = f"{spec.path}: {where}", spec.messages
    messages = value_at(entry, key)
    if spec.skip_nulls and (messages is MISSING or messages is None):
        return [], 0
    if messages is MISSING:
        raise DataError(f"{place}: has no {key!r}; it has: {', '.join(map(str, entry)) or 'none'}; set data.messages")
    if not isinstance(messages, list):
        raise DataError(
            f"{place}: {key!r} is no list, got {shortened(messages)}; write messages like {_EXAMPLE_MESSAGE}"
        )
    said = [_said(message, f"{place}, message {number}") for number, message in enumerate(messages, 1)]
    pairs = []
    for (asks, question), (answers, answer) in pairwise(said):
        if asks in _ASKS and answers in _ANSWERS and not (spec.skip_nulls and not (question and answer)):
            question, answer = (_checked(text, key, place) for text in (question, answer))
            pairs.append(Pair(question, answer, where))
    return pairs, len(said) - 2 * len(pairs)


def _said(message: object, where: str) -> tuple[str, Any]:
    """Who says a message, in lower case, and what."""
    if isinstance(message, dict):
        for who, what in _SAYS:
            if isinstance(message.get(who), str) and what in message:
                return message[who].lower(), message[what]
    raise DataError(f"{where}: has no role and content, got {shortened(message)}; write it like {_EXAMPLE_MESSAGE}")


def sha256_of_pairs(pairs: Iterable[Pair]) -> str:
    """Hash what is said, in its order; not how the file is laid out, or keys that are passed over."""
    digest = hashlib.sha256()
    for question, answer, _ in pairs:
        digest.update(json.dumps([question, answer]).encode() + b"\n")
    return digest.hexdigest()


# ---- who is in which split -----------------------------------------------------------------------------------


def by_question(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """Group all answers to one question; questions in the order of a hash, so that no topic stands at the end.

    Two questions are one when only their case or their white space differs.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(" ".join(pair.question.casefold().split()), []).append(pair)
    return [groups[key] for key in sorted(groups, key=lambda key: hashlib.sha256(key.encode()).digest())]
