"""A row of numbers in a row of characters: ▁▂▄▇█."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int = 60) -> str:
    """A line of one character per value, or per mean of neighbours where there are more than `width`.

    The lowest finite value is ▁, the highest █, a constant ▄; an infinite one touches top or bottom.
    None and NaN are gaps.
    """
    known = [None if value is None or math.isnan(value) else value for value in values]
    merged = [_mean(group) for group in _groups(known, width)]
    low, high = finite_range(merged) or (0.0, 0.0)
    return "".join(" " if value is None else _BARS[_level(value, low, high)] for value in merged)


def marks(steps: Sequence[int], events: Sequence[int], width: int = 60, mark: str = "▲") -> str:
    """A line to stand below the sparkline of values at these steps: a mark where the first one at or after an event is.

    Steps rise; what happened after all of them has no mark.
    """
    line = [" "] * min(width, len(steps))
    starts = [group[0] for group in _groups(range(len(steps)), width) if group]
    for event in events:
        first = next((at for at, step in enumerate(steps) if step >= event), None)
        if first is not None:
            line[max(at for at, start in enumerate(starts) if start <= first)] = mark
    return "".join(line)


def finite_range(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The lowest and the highest of those that are finite numbers; None when none is."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return (min(finite), max(finite)) if finite else None


def _groups(values: Sequence[T], width: int) -> list[Sequence[T]]:
    """The values in at most `width` groups of neighbours, of nearly equal size."""
    n_groups = min(width, len(values))
    edges = [len(values) * at // n_groups for at in range(n_groups + 1)] if values else [0]
    return [values[start:end] for start, end in pairwise(edges)]


def _mean(group: Sequence[float | None]) -> float | None:
    """The mean of those that are known; an infinite one wins."""
    known = [value for value in group if value is not None]
    if not known:
        return None
    infinite = [value for value in known if math.isinf(value)]
    return infinite[0] if infinite else sum(known) / len(known)


def _level(value: float, low: float, high: float) -> int:
    top = len(_BARS) - 1
    if math.isinf(value):
        return top if value > 0 else 0
    return round((value - low) / (high - low) * top) if high > low else top // 2
