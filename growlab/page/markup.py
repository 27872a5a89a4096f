"""Elements of HTML; every text in them is escaped, and what a terminal would obey is a picture."""

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from growlab.escapes import visible

_VOID = ("input", "meta")  # elements that hold nothing, and have no end


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def text(value: object) -> Html:
    """A value as text; markup stays what it is."""
    return value if isinstance(value, Html) else Html(html.escape(visible(str(value))))


def element(name: str, *children: object, **attributes: object) -> Html:
    """An element; in an attribute's name _ is a hyphen, and dropped at the end; True stands alone, None is left out."""
    given = "".join(_attribute(key.strip("_").replace("_", "-"), value) for key, value in attributes.items())
    end = "" if name in _VOID else f"{''.join(map(text, children))}</{name}>"
    return Html(f"<{name}{given}>{end}")


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(value)}"'


@dataclass(frozen=True)
class TableHead:
    title: str
    number: bool = False  # stands at the right
    help: str = ""


def table(heads: Sequence[TableHead], rows: Iterable[Sequence[object]], caption: str) -> Html:
    """A plain table that scrolls by itself where it is too wide."""
    head = [element("th", head.title, scope="col", class_="n" if head.number else None) for head in heads]
    body = [
        element(
            "tr",
            *(element("td", cell, class_="n" if head.number else None) for head, cell in zip(heads, row, strict=True)),
        )
        for row in rows
    ]
    inner = element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def json_script(identifier: str, value: Any) -> Html:
    """Data for a script; nothing in it can end the element, whatever a name holds."""
    dumped = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = dumped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    safe = safe.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Html(f'<script type="application/json" id="{identifier}">{safe}</script>')
