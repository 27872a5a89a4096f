"""Right after one unit, counted from the input side: that unit, and those below it, once more."""

from dataclasses import dataclass

from growlab.domains import Range
from growlab.growth.positions.together import together
from growlab.named import Options
from growlab.recipes import Entry, register_position
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class AfterOptions(Options):
    unit: int = scalar(
        0, at_least=0, search=Range(low=0, high=3), help="0: the lowest unit; the top one where there are fewer"
    )


@register_position("after", "right after one unit", options=AfterOptions)
def after(n_units: int, n_new: int, options: AfterOptions) -> list[Entry]:
    return together(min(options.unit + 1, n_units), n_units, n_new)
