"""What SQL can hold of what a training run says, no NaN, no infinity, no NUL byte in a text; and what it may hold.

NaN becomes NULL in SQLite, in a NOT NULL column an error at the very moment a run diverges;
infinity poisons averages; PostgreSQL refuses a text with a NUL, which a byte-level model may well write.
A person who edits a row may leave anything in it: that is one row's fault, not that of all that are read with it.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from growlab.errors import StorageError
from growlab.escapes import quoted
from growlab.finite import finite

_NOT_FINITE = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Unreadable:
    """The value of a JSON column that holds no JSON."""

    text: str

    def __repr__(self) -> str:
        return f"{self.text!r}, which is no JSON"


def read_json(text: str | bytes) -> Any:
    """Read the value of a JSON column; of any damaged one Unreadable, so that the rows beside it can be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Unreadable(text if isinstance(text, str) else text.decode(errors="replace"))


def damaged(trial_number: int | None, column: str, problem: str) -> StorageError:
    return StorageError(
        f"trial {trial_number} has a damaged row: {column}: {problem}; bring the database back from its backup"
    )


def state_of(value: float) -> str:
    """Name the state of a number, 'ok', 'nan', 'inf' or '-inf'; float() reads the last three back."""
    return "ok" if math.isfinite(value) else str(float(value))


def split(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Split numbers into columns, and a column `not_finite` such as 'kappa=inf path=nan' that restores the rest."""
    numbers: dict[str, float | None] = {name: row[name] for name in names}
    odd = {name: value for name, value in numbers.items() if value is not None and not math.isfinite(value)}
    return {
        **{name: finite(value) for name, value in numbers.items()},
        "not_finite": " ".join(f"{name}={state_of(value)}" for name, value in odd.items()),
    }


def joined(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Join what `split` wrote. Raises ValueError for a `not_finite` that it does not write."""
    odd = dict(pair.split("=") for pair in row["not_finite"].split())
    if unknown := [value for value in odd.values() if value not in _NOT_FINITE]:
        raise ValueError(f"must be {', '.join(_NOT_FINITE)}, got {unknown[0]!r}")
    return {name: float(odd[name]) if name in odd else row[name] for name in names}


def whole_numbers(value: object) -> tuple[int, ...]:
    """Read the numbers of a JSON list of them. Raises ValueError."""
    if not (isinstance(value, list) and all(type(number) is int for number in value)):
        raise ValueError(f"must be a list of whole numbers, got {quoted(value)}")
    return tuple(value)


def clean_text(text: str) -> str:
    """Replace NUL bytes of a text by '␀' and lone surrogates by '?'."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{SYMBOL FOR NULL}")
