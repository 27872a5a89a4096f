"""The path of one tensor through a window of snapshots.

Legend: n increments; *shape the tensor's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from growlab.geometry.gram import Gram, in_float64
from growlab.geometry.subspace import Coefficients


@dataclass(frozen=True, kw_only=True)
class TensorPath:
    """One tensor's window: n increments of its shape, their Gram matrix and the newest snapshot."""

    last: Float[Tensor, "*shape"]
    increments: Sequence[Float[Tensor, "*shape"]]
    gram: Gram
    name: str = ""  # of the parameter, within its unit

    def combine(self, coefficients_n: Coefficients) -> Float[Tensor, "*shape"]:
        """Combine the increments to W_last + Σ c_i V_i, accumulated in float64, in the snapshot's dtype."""
        total = in_float64(self.last)
        for coefficient, increment in zip(coefficients_n.tolist(), self.increments, strict=True):
            total = total + coefficient * in_float64(increment)
        return total.to(self.last, copy=True)  # memory of its own, also of no increments
