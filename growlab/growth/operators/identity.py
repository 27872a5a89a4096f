"""The fresh initialisation stays, behind out-projections of zero: the model computes what it did."""

from dataclasses import dataclass
from typing import ClassVar

from growlab.growth.source import Made, Source
from growlab.recipes import FRESH, OperatorOptions, register_operator


@dataclass(frozen=True, kw_only=True)
class IdentityOptions(OperatorOptions):
    needs_path: ClassVar[bool] = False


@register_operator(FRESH, "fresh weights, zero out-projections", options=IdentityOptions, searched=True)
def identity(source: Source, options: IdentityOptions) -> Made | None:
    return None
