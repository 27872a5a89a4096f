"""How tensors lie in memory, for kernels that walk along rows."""

from jaxtyping import Shaped
from torch import Tensor


def evenly_spaced(x_BTE: Shaped[Tensor, "B T E"]) -> Shaped[Tensor, "B T E"]:
    """The tensor, or a copy, with tokens at one distance: a part of a wider product is read where it lies."""
    B, T, _ = x_BTE.shape
    even = x_BTE.stride(2) == 1 and (B == 1 or x_BTE.stride(0) == T * x_BTE.stride(1))
    return x_BTE if even else x_BTE.contiguous()
