"""The mean of all units that are made of the same blocks, as they are now."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from growlab.growth.source import Made, Source
from growlab.recipes import OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class AverageOptions(OperatorOptions):
    inherits: ClassVar[bool] = False
    needs_path: ClassVar[bool] = False


@register_operator("average", "the mean of all units of the same kinds", options=AverageOptions)
def average(source: Source, options: AverageOptions) -> Made | None:
    alike = [dict(unit.named_parameters()) for unit in source.units if source.same_kinds(unit, source.unit)]
    if not alike:
        return None
    return Made(new={name: torch.stack([unit[name] for unit in alike]).mean(0) for name in alike[0]})
