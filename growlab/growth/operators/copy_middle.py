"""The middle unit of the stack, as it is now, once more.

Where a study says what new units are made of, the middle one of those that are made of just that.
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.growth.source import Made, Source, copy_of
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class CopyMiddleOptions(OperatorOptions):
    needs_path: ClassVar[bool] = False

    @classmethod
    def modelled_on(cls, n_units: int, origin: int, newest: int) -> int:
        return (n_units - 1) // 2


@register_operator("copy-middle", "the middle unit as it is now", options=CopyMiddleOptions)
def copy_middle(source: Source, options: CopyMiddleOptions) -> Made | None:
    middle = source.units[source.origin]
    if source.same_kinds(middle, source.unit):
        return copy_of(middle)
    alike = [unit for unit in source.units if source.same_kinds(unit, source.unit)]
    return copy_of(alike[(len(alike) - 1) // 2]) if alike else None
