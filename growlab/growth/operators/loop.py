"""Depth without weights: units in the middle of the stack become one that runs them again and again (blocks/loop.py).

No unit enters. The units from `start` to `stop` of the stack become loop[times=N](…) over the very blocks that they
are: not a weight changes, and each keeps its moments and its learning rate. So there is nothing to be quiet about, to
warm up or to model on another unit: position, units, factor, unit, entry_scale, moment_scale, rewarm_steps and
max_depth (a loop holds no block more) say nothing here. In the isolated warm-up of `freeze_steps` the looped units
train alone.

The next growth counts the loop as one unit. Where it loops that unit alone, its times are multiplied; where others
stand beside it, loops hold loops. No block is run more than 64 times: what would is no growth.

`start` and `stop` are shares of the number of units. Halves are rounded so that more units are looped, and one always
is: of 4 units the middle 2, of 6 the middle 4, of 2 or 1 all.

Source: looped middle layers switched on at 0.35 to 0.7 of a run (slowrun, parameter-golf, 2025).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from growlab.blocks.loop import GRADIENTS
from growlab.domains import Choice
from growlab.errors import SpecError
from growlab.growth.source import Made, Source
from growlab.layout import LOOP, LOOP_TIMES, MAX_NESTS, MOST_PASSES, BlockSpec, loop_times, n_passes, nest_height
from growlab.recipes import Enclosure, OperatorOptions, register_operator
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class LoopOptions(OperatorOptions):
    inherits: ClassVar[bool] = False
    needs_path: ClassVar[bool] = False
    encloses: ClassVar[bool] = True

    times: int = scalar(
        LOOP_TIMES,
        at_least=1,
        at_most=MOST_PASSES,
        search=Choice(values=(2, 3, 4)),
        help="passes; each adds 1/times of what a block says (1: the same function, a control)",
    )
    gradient: str = scalar(
        "all",
        choices=GRADIENTS,
        search=Choice(values=GRADIENTS),
        help="the passes that it goes through: all, or the last alone, which is cheaper",
    )
    start: float = scalar(0.25, at_least=0, below=1, help="share of the units that stay below the loop")
    stop: float = scalar(0.75, above=0, at_most=1, help="share of the units up to which it reaches; above start")

    def __post_init__(self) -> None:
        if self.start >= self.stop:
            raise SpecError(f"growth.operator.loop: start must be below stop, got {self.start:g} and {self.stop:g}")

    def enclosing(self, units: Sequence[tuple[BlockSpec, ...]]) -> Enclosure | None:
        first, n_above = (_half_down(share * len(units)) for share in (self.start, 1 - self.stop))
        first = min(first, len(units) - 1)
        looped = units[first : max(first + 1, len(units) - n_above)]
        inner, times = tuple(block for unit in looped for block in unit), self.times
        if len(inner) == 1 and inner[0].kind == LOOP:
            inner, times = inner[0].inner, times * loop_times(inner[0])
        spec = BlockSpec(LOOP, (("gradient", self.gradient), ("times", times)), (inner,))
        if n_passes(spec) > MOST_PASSES or nest_height(spec) > MAX_NESTS:
            return None
        return Enclosure(first=first, n_units=len(looped), blocks=(spec,))


def _half_down(number: float) -> int:
    """The nearest whole number, of two the lower; what a float lacks of a half is no reason for the other one."""
    return math.ceil(round(number - 0.5, 9))


@register_operator(
    "loop", "no new weights: the units in the middle become a loop, run several times", options=LoopOptions
)
def loop(source: Source, options: LoopOptions) -> Made | None:
    """Change no weight: all that this growth does is `LoopOptions.enclosing`."""
    return Made(new={})
