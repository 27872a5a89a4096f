"""A growlab plugin: the operator `mean-of-two`, which makes a unit of a weighted mean of the two newest ones.

Use it with --plugin: growlab study keys growth.operator --plugin my_operator.py
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.domains import Range
from growlab.growth.source import Made, Source
from growlab.recipes import OperatorOptions, register_operator
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class MeanOptions(OperatorOptions):
    needs_path: ClassVar[bool] = False  # it is made of the units as they are
    newer: float = scalar(0.5, at_least=0, at_most=1, search=Range(low=0.0, high=1.0), help="share of the upper unit")


@register_operator("mean-of-two", "a mean of the two units at the output side", options=MeanOptions)
def mean_of_two(source: Source, options: MeanOptions) -> Made | None:
    if len(source.units) < 2 or not all(source.same_kinds(unit, source.unit) for unit in source.units[-2:]):
        return None
    older, newer = (dict(unit.named_parameters()) for unit in source.units[-2:])
    return Made(new={name: newer[name].lerp(older[name], 1 - options.newer) for name in newer})
