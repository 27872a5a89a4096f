"""Below all units, at the input side."""

from growlab.named import Options
from growlab.recipes import register_position


@register_position("prepend", "below all others, at the input side")
def prepend(n_units: int, options: Options) -> int:
    return 0
