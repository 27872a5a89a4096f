"""Questions and their answers: a JSON list of {"question": …, "answer": …}, or the same as JSON lines.

What becomes of them is in turns.py.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from growlab.data.text_files import not_utf8
from growlab.errors import DataError, SpecError
from growlab.escapes import shortened

_EXAMPLE = '{"question": "…", "answer": "…"}'


class Pair(NamedTuple):
    question: str
    answer: str
    where: str  # what a message calls it, such as 'entry 3'


# ---- the file ------------------------------------------------------------------------------------------------


def read_pairs(path: str) -> list[Pair]:
    """Read all pairs of a file, in its order and as they are written; other keys are passed over.

    Raises SpecError without a path, DataError that names the entry or the line, and OSError.
    """
    if not path:
        raise SpecError("source 'qa' needs a path, got ''; set data.path to a JSON file of questions and answers")
    file = Path(path)
    if file.exists() and not file.is_file():
        raise DataError(f"{path}: is no regular file; give one JSON file of questions and answers")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    pairs = [_pair(entry, path, where) for entry, where in _entries(text, path)]
    if not pairs:
        raise DataError(f"{path}: is empty; write entries such as {_EXAMPLE}")
    return pairs


def _entries(text: str, path: str) -> Iterator[tuple[Any, str]]:
    """Yield each entry with what a message calls it. A list begins with a bracket, a line of JSON lines does not."""
    if text.lstrip().startswith("["):
        yield from ((entry, f"entry {number}") for number, entry in enumerate(_parsed(text, path), 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _parsed(line, f"{path}: line {number}"), f"line {number}"


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is not JSON ({error}); write a list, or lines, of {_EXAMPLE}") from None


def _pair(entry: object, path: str, where: str) -> Pair:
    if not isinstance(entry, dict):
        raise DataError(f"{path}: {where}: is not an object, got {shortened(entry)}; write it like {_EXAMPLE}")
    question, answer = (_text_of(entry, key, f"{path}: {where}") for key in ("question", "answer"))
    return Pair(question, answer, where)


def _text_of(entry: dict[str, Any], key: str, where: str) -> str:
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}; it has: {', '.join(entry) or 'none'}; write it like {_EXAMPLE}")
    if not isinstance(text := entry[key], str):
        raise DataError(f"{where}: {key!r} is not text, got {shortened(text)}; repair or drop the entry")
    if not text:
        raise DataError(f"{where}: {key!r} is empty, got ''; fill it in or drop the entry")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise DataError(
            f"{where}: {key!r} has half a surrogate pair at character {at}; repair or drop the entry"
        ) from None
    return text


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
