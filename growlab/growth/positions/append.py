"""On top of all units, at the output side."""

from growlab.named import Options
from growlab.recipes import register_position


@register_position("append", "on top, at the output side")
def append(n_units: int, options: Options) -> int:
    return n_units
