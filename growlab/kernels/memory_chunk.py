"""What kernels of matrix memories are made of: a chunk's decays, products of the exactness that is asked for.

A sum g of ln a within a chunk is kept as the sum of two fp32 numbers, so that differences are exact to fp32; no
exponent is positive. growlab.kernels.decaying_memory says what is computed of it.

Legend: B batch, H heads, T tokens, K entries of a key, C tokens of a chunk, N chunks.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

CHUNK = 64
INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # where bf16 has no products


@triton.jit
def narrow_product(a, b, sums=None):
    """Compute a @ b + sums of bf16, with fp32 sums."""
    if INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), sums)
    return tl.dot(a, b, sums)


@triton.jit
def product(a, b, EXACT: tl.constexpr):
    """Compute a @ b with fp32 sums."""
    if a.dtype == tl.bfloat16 and b.dtype == tl.bfloat16:
        return narrow_product(a, b)
    elif EXACT:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="tf32x3")
    elif a.dtype == tl.bfloat16:
        high = b.to(tl.bfloat16)
        return narrow_product(a, high, narrow_product(a, (b - high.to(tl.float32)).to(tl.bfloat16)))
    elif b.dtype == tl.bfloat16:
        high = a.to(tl.bfloat16)
        return narrow_product(high, b, narrow_product((a - high.to(tl.float32)).to(tl.bfloat16), b))
    else:
        high_a, high_b = a.to(tl.bfloat16), b.to(tl.bfloat16)
        low_a, low_b = (a - high_a.to(tl.float32)).to(tl.bfloat16), (b - high_b.to(tl.float32)).to(tl.bfloat16)
        return narrow_product(high_a, high_b, narrow_product(high_a, low_b, narrow_product(low_a, high_b)))


@triton.jit
def sums_kernel(log_decay_ptr, sums_ptr, a_b, a_h, a_t, T, H, C: tl.constexpr):
    """Write g of one chunk, as two fp32 numbers for each token."""
    n, bh = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, C)
    t = n * C + at
    log_decay = tl.load(log_decay_ptr + (bh // H).to(tl.int64) * a_b + (bh % H) * a_h + t * a_t, mask=t < T, other=0.0)
    sums = tl.cumsum(log_decay.to(tl.float64), 0)
    high = sums.to(tl.float32)
    sums_ptr += (bh.to(tl.int64) * tl.num_programs(0) + n) * 2 * C
    tl.store(sums_ptr + at, high)
    tl.store(sums_ptr + C + at, (sums - high).to(tl.float32))


@triton.jit
def decays(sums_ptr, C: tl.constexpr, TRANSPOSED: tl.constexpr):
    """D of a chunk, or its transpose."""
    at = tl.arange(0, C)
    row, column = at[:, None], at[None, :]
    high = tl.load(sums_ptr + row) - tl.load(sums_ptr + column)
    low = tl.load(sums_ptr + C + row) - tl.load(sums_ptr + C + column)
    if TRANSPOSED:
        return tl.exp(tl.where(row <= column, -(high + low), float("-inf")))
    return tl.exp(tl.where(row >= column, high + low, float("-inf")))


@triton.jit
def decays_to_ends(sums_ptr, C: tl.constexpr):
    """What is left from a chunk's start to each token, from each token to its end, and over all of it."""
    at = tl.arange(0, C)
    high, high_end = tl.load(sums_ptr + at), tl.load(sums_ptr + C - 1)
    low, low_end = tl.load(sums_ptr + C + at), tl.load(sums_ptr + 2 * C - 1)
    return tl.exp(high), tl.exp((high_end - high) + (low_end - low)), tl.exp(high_end)


@triton.jit
def tile(ptr, rows, columns, stride_row, stride_column, n_rows, n_columns):
    """Load rows and columns of a matrix, zeros beyond it."""
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    return tl.load(ptr + rows[:, None] * stride_row + columns[None, :] * stride_column, mask=inside, other=0.0)


class Form(NamedTuple):
    """How a kernel is cut and run. Measured on an H200."""

    columns: int = 64  # of values that a program holds at once
    warps: int = 4
    stages: int = 1


def sums_of(log_decay: Tensor) -> Tensor:
    """The sums g within each chunk, high and low: (B, H, N, 2, C)."""
    B, H, T = log_decay.shape
    sums = log_decay.new_empty(B, H, -(-T // CHUNK), 2, CHUNK)
    sums_kernel[(sums.shape[2], B * H)](log_decay, sums, *log_decay.stride(), T, H, C=CHUNK, num_warps=1)
    return sums


def strides_of(tensor: Tensor | None, n: int) -> tuple[int, ...]:
    return (0,) * n if tensor is None else tensor.stride()[:n]
