"""What SQL can hold of what a training run says: no NaN, no infinity, no NUL byte in a text.

NaN becomes NULL in SQLite, in a NOT NULL column an error at the very moment a run diverges;
infinity poisons averages; PostgreSQL refuses a text with a NUL, which a byte-level model may well write.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any


def finite(value: float | None) -> float | None:
    """The number, or NULL where there is none that could be ranked."""
    return None if value is None or not math.isfinite(value) else float(value)


def kind_of(value: float) -> str:
    """'ok', 'nan', 'inf' or '-inf'; float() reads the last three back."""
    return "ok" if math.isfinite(value) else str(float(value))


def split(numbers: Mapping[str, float | None]) -> dict[str, Any]:
    """The columns of these numbers, and a column `not_finite` such as 'kappa=inf path=nan' that restores the rest."""
    odd = {name: value for name, value in numbers.items() if value is not None and not math.isfinite(value)}
    return {
        **{name: finite(value) for name, value in numbers.items()},
        "not_finite": " ".join(f"{name}={kind_of(value)}" for name, value in odd.items()),
    }


def joined(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The inverse of split."""
    odd = dict(pair.split("=") for pair in row["not_finite"].split())
    return {name: float(odd[name]) if name in odd else row[name] for name in names}


def clean_text(text: str) -> str:
    """The text with NUL bytes as '␀' and lone surrogates as '?'."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{SYMBOL FOR NULL}")
