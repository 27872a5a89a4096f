"""In the middle of the stack: the units right below it once more."""

from growlab.growth.positions.together import together
from growlab.named import Options
from growlab.recipes import Entry, register_position


@register_position("middle", "in the middle of the stack")
def middle(n_units: int, n_new: int, options: Options) -> list[Entry]:
    return together((n_units + 1) // 2, n_units, n_new)
