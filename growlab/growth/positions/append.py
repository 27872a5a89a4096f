"""On top of all units, at the output side: the top units once more."""

from growlab.growth.positions.together import together
from growlab.named import Options
from growlab.recipes import Entry, register_position


@register_position("append", "on top, at the output side")
def append(n_units: int, n_new: int, options: Options) -> list[Entry]:
    return together(n_units, n_units, n_new)
