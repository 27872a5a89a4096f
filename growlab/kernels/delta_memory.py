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
from torch import Tensor

from growlab.kernels.decaying_memory import CHUNK, backward, decay_of_pairs, product, sums_and_total, tile, walk


@triton.jit
def inverse_kernel(
    k_ptr, log_decay_ptr, strength_ptr, inverse_ptr,
    k_b, k_h, k_t, k_k, a_b, a_h, a_t, b_b, b_h, b_t, T, H, K,
    C: tl.constexpr, LEVELS: tl.constexpr, BK: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Compute (I + L)⁻¹ of one chunk: [[X, 0], [L, Y]]⁻¹ = [[X⁻¹, 0], [-Y⁻¹ L X⁻¹, Y⁻¹]] along the diagonal."""
    n, bh = tl.program_id(0), tl.program_id(1)
    batch, head = (bh // H).to(tl.int64), bh % H
    row = tl.arange(0, C)[:, None]
    column = tl.arange(0, C)[None, :]
    t = n * C + tl.arange(0, C)
    sums, _ = sums_and_total(log_decay_ptr + batch * a_b + head * a_h, a_t, t, T)
    strength = tl.load(strength_ptr + batch * b_b + head * b_h + t * b_t, mask=t < T, other=0.0)
    met = tl.zeros((C, C), tl.float32)
    for start in range(0, K, BK):
        k = tile(k_ptr + batch * k_b + head * k_h, t, start + tl.arange(0, BK), k_t, k_k, T, K)
        met += product(k, tl.trans(k), EXACT)
    met = tl.where(row > column, met * decay_of_pairs(sums, C, False) * strength[None, :], 0.0)

    inverse = tl.where(row == column, 1.0, 0.0)
    for level in tl.static_range(LEVELS):
        joins = (row >> (level + 1) == column >> (level + 1)) & (row >> level != column >> level)
        low = tl.where(joins, met, 0.0)
        if level == 0:
            inverse -= low
        else:
            inverse -= product(product(inverse, low, EXACT), inverse, EXACT)
    at = ((bh.to(tl.int64) * tl.num_programs(0) + n) * C + row) * C + column
    tl.store(inverse_ptr + at, inverse)


def inverses(k: Tensor, log_decay: Tensor, strength: Tensor, *, narrow: bool, warps: int = 4) -> Tensor:
    """The inverse of I + L of each chunk."""
    B, H, T, K = k.shape
    C = CHUNK
    inverse = k.new_empty(B, H, -(-T // C), C, C, dtype=torch.float32)
    inverse_kernel[(inverse.shape[2], B * H)](
        k, log_decay, strength, inverse, *k.stride(), *log_decay.stride(), *strength.stride(), T, H, K,
        C=C, LEVELS=C.bit_length() - 1, BK=64, EXACT=not narrow,
        num_warps=warps,
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
    inputs = (q_BHTK, k_BHTK, v_BHTV, log_decay_BHT, strength_BHT, memory_BHKV)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs)
    y_BHTV, last_BHKV, *_ = _revise(*inputs, keep)
    return y_BHTV, None if memory_BHKV is None else last_BHKV


@torch.library.custom_op("growlab::revise", mutates_args=())
def _revise(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor, memory: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What is read, the last memory; what is missed, the memories that the chunks find, and their inverses."""
    narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    B, H, T, V = v.shape
    inverse = inverses(k, log_decay, strength, narrow=narrow)
    missed = torch.empty(B, T, H, V, device=v.device, dtype=torch.float32).transpose(1, 2)
    memory = None if memory is None else memory.contiguous()
    y, heads, last = walk(
        q, k, v, log_decay, strength, None, memory,
        inverse=inverse, missed=missed, keep=keep, last=memory is not None, narrow=narrow,
    )  # fmt: skip
    return y, v.new_empty(0) if last is None else last, missed, v.new_empty(0) if heads is None else heads, inverse


@_revise.register_fake
def _empty_revise(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor, memory: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    (B, H, T, V), K = v.shape, q.shape[3]
    N, C, to = -(-T // CHUNK), CHUNK, torch.float32
    y, missed = (v.new_empty(B, T, H, V, dtype=to).transpose(1, 2) for _ in range(2))
    last = v.new_empty(0) if memory is None else v.new_empty(B, H, K, V, dtype=to)
    heads = v.new_empty(B, H, N, K, V, dtype=to) if keep else v.new_empty(0)
    return y, last, missed, heads, v.new_empty(B, H, N, C, C, dtype=to)


@torch.library.custom_op("growlab::revise_backward", mutates_args=())
def _revise_backward(
    y_grad: Tensor,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    log_decay: Tensor,
    strength: Tensor,
    missed: Tensor,
    heads: Tensor,
    inverse: Tensor,
    to_first: bool,
    narrow: bool,
) -> list[Tensor]:
    """Gradients of q, k, v (in fp32), ln a, of the strengths and of the first memory; of no numbers where none is."""
    q_grad, k_grad, v_grad, decay_grad, strength_grad, _, first_grad = backward(
        q, k, missed, log_decay, strength, None, heads, y_grad, last_grad,
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
    log_decay: Tensor,
    strength: Tensor,
    missed: Tensor,
    heads: Tensor,
    inverse: Tensor,
    to_first: bool,
    narrow: bool,
) -> list[Tensor]:
    def by_token(like: Tensor) -> Tensor:
        return like.new_empty(like.transpose(1, 2).shape).transpose(1, 2)

    B, H, _, K, V = heads.shape
    first = missed.new_empty(B, H, K, V) if to_first else missed.new_empty(0)
    rates = [like.new_empty(like.shape) for like in (log_decay, strength)]
    return [by_token(q), by_token(k), by_token(missed), *rates, first]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, log_decay, strength, memory, _ = inputs
    ctx.save_for_backward(q, k, log_decay, strength, *output[2:])
    ctx.to_first, ctx.v_dtype = memory is not None, v.dtype
    ctx.narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, y_grad: Tensor | None, last_grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    q, k, log_decay, strength, missed, heads, inverse = ctx.saved_tensors
    y_grad = missed.new_zeros(missed.shape) if y_grad is None else y_grad
    last_grad = last_grad if ctx.to_first else None
    *grads, first_grad = _revise_backward(
        y_grad, last_grad, q, k, log_decay, strength, missed, heads, inverse, ctx.to_first, ctx.narrow
    )
    grads[2] = grads[2].to(ctx.v_dtype)
    return *grads, first_grad if ctx.to_first else None, None


_revise.register_autograd(_backward, setup_context=_keep)
