"""A product with a matrix of an odd number of rows, such as one that gives each head a rate beside its channels.

Tensor cores take rows by eights: cuBLAS multiplies by 1,156 in older kernels, of half the speed, and what reads 1,156
columns afterwards reads them one at a time. Some rows of zeros cost less.

Legend: D d_model, E rows, P rows with those of zeros.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

TILE = 16  # rows: 32 bytes of bf16
PAYS_FROM = 1 << 20  # numbers in x; below, launching two kernels more takes longer than they save


def padded_linear(linear: nn.Linear, x: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens E"]:
    """Multiply as `linear`, which has no bias, does; where it pays by a matrix padded with zeros."""
    y: Tensor = _padded(linear.weight, x) if len(linear.weight) % TILE and _pays(x) else linear(x)
    return y


def _pays(x: Tensor) -> bool:
    return x.is_cuda and x.numel() >= PAYS_FROM


def _padded(weight_ED: Tensor, x: Tensor) -> Tensor:
    E = len(weight_ED)
    weight_PD = F.pad(weight_ED, (0, 0, 0, -E % TILE))
    return F.linear(x, weight_PD)[..., :E]
