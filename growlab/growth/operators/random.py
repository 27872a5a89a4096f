"""The fresh initialisation stays, as loud as the plan's entry scale says; at scale 0 this is `identity`."""

from dataclasses import dataclass
from typing import ClassVar

from growlab.growth.source import Made, Source
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class RandomOptions(OperatorOptions):
    inherits: ClassVar[bool] = False
    needs_path: ClassVar[bool] = False


@register_operator("random", "fresh weights, out-projections too", options=RandomOptions)
def random(source: Source, options: RandomOptions) -> Made | None:
    return Made(new={})
