"""Below all units, at the input side: the lowest units once more."""

from growlab.growth.positions.together import together
from growlab.named import Options
from growlab.recipes import Entry, register_position


@register_position("prepend", "below all others, at the input side")
def prepend(n_units: int, n_new: int, options: Options) -> list[Entry]:
    return together(0, n_units, n_new)
