"""Numbers that can be ranked, averaged and drawn: neither NaN nor infinite, which a run that diverges gives."""

import math
from collections.abc import Mapping


def finite(value: float | None) -> float | None:
    """The number itself where it is finite; None for any other, and for None."""
    return None if value is None or not math.isfinite(value) else float(value)


def finite_only(values: Mapping[int, float]) -> dict[int, float]:
    """The entries of a mapping whose values are finite."""
    return {at: value for at, value in values.items() if math.isfinite(value)}
