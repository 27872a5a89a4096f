"""The matrix memory of growlab.blocks.delta_memory in Triton: what its keys miss, remembered.

    S_t = a_t S_{t-1} + b_t k_t r_tᵀ,    r_t = v_t - (a_t S_{t-1})ᵀ k_t,    y_t = S_tᵀ q_t

Where r is known this is growlab.kernels.decaying_memory, with r for the values; so are its gradients, those of r among
them. Within a chunk that finds S, r solves (I + L) r = v - e^g k S, with L = k kᵀ ∘ D diag(b) below the diagonal. The
inverse of I + L is made for all chunks at once, of inverses along the diagonal, joined two by two. Then the walk makes
r of v as it goes, and the walk from the end makes v̄ of r̄.

As a key reads what was there before it, and r̄ = -v̄ of what it reads, it receives two more gradients, as a query of the
memory before it: those of k kᵀ and of k S.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, library

from growlab.kernels.decaying_memory import by_token
from growlab.kernels.memory_chunk import CHUNK, decays, product, sums_of, tile
from growlab.kernels.memory_gradient import backward
from growlab.kernels.memory_walk import read, walk


@triton.jit
def inverse_kernel(
    k_ptr, sums_ptr, strength_ptr, inverse_ptr, k_b, k_h, k_t, k_k, b_b, b_h, b_t, T, H, K,
    C: tl.constexpr, LEVELS: tl.constexpr, BK: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Compute (I + L)⁻¹ of one chunk: [[X, 0], [L, Y]]⁻¹ = [[X⁻¹, 0], [-Y⁻¹ L X⁻¹, Y⁻¹]] along the diagonal."""
    n, bh = tl.program_id(0), tl.program_id(1)
    batch, head = (bh // H).to(tl.int64), bh % H
    at_chunk = bh.to(tl.int64) * tl.num_programs(0) + n
    row, column = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    t = n * C + tl.arange(0, C)
    strength = tl.load(strength_ptr + batch * b_b + head * b_h + t * b_t, mask=t < T, other=0.0)
    met = tl.zeros((C, C), tl.float32)
    for start in range(0, K, BK):
        k = tile(k_ptr + batch * k_b + head * k_h, t, start + tl.arange(0, BK), k_t, k_k, T, K)
        met += product(k, tl.trans(k), EXACT)
    met = tl.where(row > column, met * decays(sums_ptr + at_chunk * 2 * C, C, False) * strength[None, :], 0.0)

    inverse = tl.where(row == column, 1.0, 0.0)
    for level in tl.static_range(LEVELS):
        joins = (row >> (level + 1) == column >> (level + 1)) & (row >> level != column >> level)
        low = tl.where(joins, met, 0.0)
        if level == 0:
            inverse -= low
        else:
            inverse -= product(product(inverse, low, EXACT), inverse, EXACT)
    tl.store(inverse_ptr + (at_chunk * C + row) * C + column, inverse)


def inverses(k: Tensor, sums: Tensor, strength: Tensor, *, narrow: bool, warps: int = 4) -> Tensor:
    """The inverse of I + L of each chunk."""
    (B, H, T, K), N = k.shape, sums.shape[2]
    inverse = sums.new_empty(B, H, N, CHUNK, CHUNK)
    inverse_kernel[(N, B * H)](
        k, sums, strength, inverse, *k.stride(), *strength.stride(), T, H, K,
        C=CHUNK, LEVELS=CHUNK.bit_length() - 1, BK=64, EXACT=not narrow, num_warps=warps, num_stages=1,
    )  # fmt: skip
    return inverse


# ---- as operators of torch -------------------------------------------------------------------------------------------


def revise(
    q_BHTK: Tensor,
    k_BHTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    strength_BHT: Tensor,
    memory_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute what growlab.blocks.delta_memory.revise does."""
    first = None if memory_BHKV is None else memory_BHKV.flatten(2)
    inputs = (q_BHTK, k_BHTK, v_BHTV, log_decay_BHT, strength_BHT, first)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs)
    y_BHTV, last, *_ = _revise(*inputs, keep)
    return y_BHTV, None if memory_BHKV is None else last.view(memory_BHKV.shape)


@library.custom_op("growlab::revise", mutates_args=())
def _revise(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor, memory: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What is read, the last memory; what is missed, the memories that the chunks find, sums, inverses."""
    narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    sums = sums_of(log_decay)
    inverse = inverses(k, sums, strength, narrow=narrow)
    B, H, T, V = v.shape
    missed = sums.new_empty(B, T, H, V).transpose(1, 2)
    first = None if memory is None else memory.contiguous()
    heads, last = walk(
        k, v, sums, strength, first, inverse=inverse, corrected=missed, last=memory is not None, narrow=narrow
    )
    y = read(q, k, missed, sums, strength, None, heads, narrow=narrow)
    last, heads = sums.new_empty(0) if last is None else last, heads if keep else sums.new_empty(0)
    return y, last, missed, heads, sums, inverse


@_revise.register_fake
def _empty_revise(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor, memory: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    (B, H, T, V), K, N, empty = v.shape, q.shape[3], -(-v.shape[2] // CHUNK), log_decay.new_empty
    y, missed = (empty(B, T, H, V).transpose(1, 2) for _ in range(2))
    last, heads = empty(0) if memory is None else empty(B, H, K * V), empty(B, H, N, K * V) if keep else empty(0)
    return y, last, missed, heads, empty(B, H, N, 2, CHUNK), empty(B, H, N, CHUNK, CHUNK)


@library.custom_op("growlab::revise_backward", mutates_args=())
def _revise_backward(
    y_grad: Tensor,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    strength: Tensor,
    missed: Tensor,
    heads: Tensor,
    sums: Tensor,
    inverse: Tensor,
    to_first: bool,
    narrow: bool,
) -> list[Tensor]:
    """Gradients of q, k, v (in fp32), ln a, of the strengths and of the first memory; of no numbers where none is."""
    q_grad, k_grad, v_grad, decay_grad, strength_grad, _, first_grad = backward(
        q, k, missed, sums, strength, None, heads, y_grad, None, None if last_grad is None else last_grad.contiguous(),
        to_first=to_first, narrow=narrow, inverse=inverse,
    )  # fmt: skip
    assert strength_grad is not None
    first_grad = missed.new_empty(0) if first_grad is None else first_grad
    return [q_grad, k_grad, v_grad, decay_grad, strength_grad, first_grad]


@_revise_backward.register_fake
def _empty_revise_backward(
    y_grad: Tensor,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    strength: Tensor,
    missed: Tensor,
    heads: Tensor,
    sums: Tensor,
    inverse: Tensor,
    to_first: bool,
    narrow: bool,
) -> list[Tensor]:
    rates = [strength.new_empty(strength.shape) for _ in range(2)]
    B, H, _, size = heads.shape
    return [by_token(q), by_token(k), by_token(missed), *rates, missed.new_empty((B, H, size) if to_first else 0)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, _, strength, memory, _ = inputs
    ctx.save_for_backward(q, k, strength, *output[2:])
    ctx.to_first, ctx.v_dtype = memory is not None, v.dtype
    ctx.narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, y_grad: Tensor | None, last_grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    missed = ctx.saved_tensors[3]
    y_grad = missed.new_zeros(missed.shape) if y_grad is None else y_grad
    *grads, first_grad = _revise_backward(
        y_grad, last_grad if ctx.to_first else None, *ctx.saved_tensors, ctx.to_first, ctx.narrow
    )
    grads[2] = grads[2].to(ctx.v_dtype)
    return *grads, first_grad if ctx.to_first else None, None


_revise.register_autograd(_backward, setup_context=_keep)
