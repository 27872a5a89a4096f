"""Inner products of increments, in float64 whatever the increments are stored in.

Legend: n increments, m = n + 1, D entries of one of them.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Gram = Float[Tensor, "n n"]


def gram(increments: Sequence[Float[Tensor, "*shape"]]) -> Gram:
    """Gram matrix G_ij = <V_i, V_j>, float64 on the CPU, shape (n, n). All increments have one shape.

    Increments, not snapshots: the Gram matrix of raw fp32 snapshots cancels catastrophically.
    """
    gram_nn = torch.zeros(0, 0, dtype=torch.float64)
    for count, increment in enumerate(increments):
        gram_nn = extend_gram(gram_nn, increments[:count], increment)
    return gram_nn


def extend_gram(
    gram_nn: Gram, increments: Sequence[Float[Tensor, "*shape"]], newest: Float[Tensor, "*shape"]
) -> Float[Tensor, "m m"]:
    """The Gram matrix of `increments` followed by `newest`, m = n + 1; costs (n + 1)·2D operations."""
    return bordered(gram_nn, newest_row(increments, newest).cpu())


def newest_row(increments: Sequence[Float[Tensor, "*shape"]], newest: Float[Tensor, "*shape"]) -> Float[Tensor, " m"]:
    """Inner products of `newest` with each increment and with itself, on their device (of MPS: on the CPU)."""
    flat_D = in_float64(newest.flatten())
    return torch.stack([torch.dot(in_float64(increment.flatten()), flat_D) for increment in (*increments, newest)])


def bordered(gram_nn: Gram, row_m: Float[Tensor, " m"]) -> Float[Tensor, "m m"]:
    """Border the matrix with a last row and column, m = n + 1, on the CPU."""
    n = len(gram_nn)
    extended = torch.empty(n + 1, n + 1, dtype=torch.float64)
    extended[:n, :n] = gram_nn
    extended[n, :] = row_m
    extended[:, n] = row_m
    return extended


def in_float64(tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The tensor in float64 on its own device, or on the CPU where that has no float64 (MPS)."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
