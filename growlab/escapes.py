"""Text that came from elsewhere, made fit to be shown: nothing in it is obeyed by a terminal, none of it is endless.

Whatever a person, a file, a database or a model wrote passes through here on its way to a screen, a pipe or a message.
"""

import json
import re
from typing import Any

MAX_LINE = 2_000  # characters of a message's line; a name of 100,000 would hide what is wrong with it

# What a terminal obeys: C0 but for tab and newline, DEL, C1; what reorders or breaks a line; half surrogate pairs.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_PASSWORD = re.compile(r"(\w://[^\s:/@]{0,300}):[^\s@]{0,300}@")  # of a URL that stands where none belongs


def visible(text: str) -> str:
    """Show the control characters of a text as pictures: ESC is ␛, DEL is ␡, what has no picture is �."""
    return _CONTROLS.sub(_picture, text)


def readable(text: str) -> str:
    """Make a text fit for a message: visible, no URL's password in it, no line above MAX_LINE, cut in its middle."""
    return "\n".join(_cut(line, MAX_LINE) for line in _PASSWORD.sub(r"\1:***@", visible(text)).split("\n"))


def quoted(value: object, most: int = 80) -> str:
    """Quote a value as a message names it: its repr, which escapes control characters, cut in its middle if long."""
    return _cut(_PASSWORD.sub(r"\1:***@", repr(value)), most)


def shortened(value: object) -> str:
    """A value of somebody's data as a message shows it: the first 60 characters of its repr."""
    return text if len(text := repr(value)) <= 60 else f"{text[:60]}…"


def first_line(text: str) -> str:
    """The text up to its first newline: what an error says before it explains itself."""
    return text.partition("\n")[0]


def has_controls(text: str) -> bool:
    return _CONTROLS.search(text) is not None


def json_text(value: Any, indent: int | None = None) -> str:
    """Write JSON in which letters of every language are themselves and control characters are escapes; no NaN."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end - 1]}…{text[-end:]}"
