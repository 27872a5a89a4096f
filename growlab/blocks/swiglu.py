"""The gate between the two products of a gated channel mixer: y = value · silu(gate).

Legend: H hidden width, W = 2 H columns.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from growlab.kernels import Door


def swiglu(inner: Float[Tensor, "*rows W"]) -> Float[Tensor, "*rows H"]:
    """Gate the first half of the columns by the second. On a GPU it is a kernel (growlab.kernels)."""
    gated: Tensor = DOOR(inner)
    return gated


def _definition(inner: Tensor) -> Tensor:
    value, gate = inner.chunk(2, dim=-1)
    return F.silu(gate) * value


def _kernel() -> Callable[[Tensor], Tensor]:
    from growlab.kernels import swiglu

    return swiglu.swiglu


def _fits_kernel(inner: Tensor) -> bool:
    return inner.dtype in (torch.float32, torch.bfloat16)


def _examples() -> list[tuple[Tensor]]:
    """Two programs of rows and two of columns, neither whole; in fp32 and in bf16."""
    inner = torch.randn(7, 2 * 272, generator=torch.Generator().manual_seed(0))
    return [(inner,), (inner.to(torch.bfloat16),)]


DOOR = Door(
    name="swiglu", definition=_definition, kernel=_kernel, fits=_fits_kernel, examples=_examples, tolerance=2e-6
)
