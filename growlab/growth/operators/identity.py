"""The fresh initialisation stays, behind out-projections of zero: the model computes what it did."""

from growlab.growth.source import Made, Source
from growlab.recipes import FRESH, OperatorOptions, register_operator


@register_operator(FRESH, "fresh weights, zero out-projections", searched=True)
def identity(source: Source, options: OperatorOptions) -> Made | None:
    return None
