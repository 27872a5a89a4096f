"""Trajectory extrapolation that has to prove itself on the window first: a mean pace, shrunk by a back-test.

Legend: n increments; *shape the tensor's own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.domains import Range
from growlab.geometry.gram import Gram
from growlab.geometry.trajectory import back_test, drift_z
from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import OperatorOptions, register_operator
from growlab.scalar import scalar

_SIGNIFICANT = 1.645  # of a standard normal z, one-sided: 5% of windows without a drift exceed it


@dataclass(frozen=True, kw_only=True)
class ForecastOptions(OperatorOptions):
    h: float = scalar(
        7.0,  # what the back-test of the default window tests: its second half by its first
        at_least=0,
        search=Range(low=1.0, high=30.0, log=True),
        help="how far ahead, in intervals between snapshots",
    )


@register_operator(
    "forecast", "the mean pace, as far as the window's first half predicts its second", options=ForecastOptions
)
@tensor_by_tensor
def forecast(path: TensorPath, options: ForecastOptions, source: Source) -> Float[Tensor, "*shape"]:
    """Extrapolate to W_last + h·λ·v̄, λ of the tensor's own window; a plain copy where λ is 0."""
    n, coefficient = len(path.increments), trust(path.gram)
    if coefficient == 0:
        return path.last.clone()
    return path.combine(torch.full((n,), options.h * coefficient / n, dtype=torch.float64))


def trust(gram: Gram) -> float:
    """How much of a path's pace goes on, by its back-test, cut to [0, 1]; 0 where there is no significant drift.

    0 below four increments, which allow no test.
    """
    n = len(gram)
    z = drift_z(gram) if n else None
    if z is None or z < _SIGNIFICANT:
        return 0.0
    predicted = back_test(gram)
    return 0.0 if predicted is None else min(max(predicted, 0.0), 1.0)
