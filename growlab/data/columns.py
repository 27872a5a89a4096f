"""A column of a table by its name, which may be a path into what a row holds: `text`, `conversation.0.content`."""

from collections.abc import Mapping, Sequence
from typing import Any

MISSING = object()  # there is no such column in a row


def value_at(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column: by its whole name, else along the path whose parts its dots separate. MISSING for none.

    A part that is a number counts the entries of a list, from 0. A null on the way is null.
    """
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if value is None:
            return None
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, Sequence) and not isinstance(value, str) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def top_of(column: str, known: Sequence[str]) -> str:
    """The name of the table's own column that holds this one; '' where there is none."""
    return column if column in known else next((name for name in [column.split(".")[0]] if name in known), "")
