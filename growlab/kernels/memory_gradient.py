"""Gradients of a matrix memory, of what its walk from the end has found.

The formulas are in growlab.kernels.decaying_memory.

Legend: B batch, H heads, G heads of queries and keys, T tokens, K entries of a key, V of a value, C tokens of a chunk.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from growlab.kernels.memory_chunk import CHUNK, Form, decays, decays_to_ends, product, strides_of, tile
from growlab.kernels.memory_walk import read, walk


@triton.jit
def gradient_kernel(
    q_ptr, k_ptr, v_ptr, sums_ptr, strength_ptr, heads_ptr, y_grad_ptr, weight_grad_ptr, left_ptr,
    q_grad_ptr, k_grad_ptr, decay_grad_ptr, strength_grad_ptr, skip_grad_ptr,
    q_b, q_g, q_t, q_k, k_b, k_g, k_t, k_k, v_b, v_h, v_t, v_v, b_b, b_h, b_t, y_b, y_h, y_t, y_v,
    grad_b, grad_h, grad_t, T, H, K, V, size,
    SHARED: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, EXACT: tl.constexpr,
    ASKING: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of one chunk's queries, keys, decays and strengths, for BK columns of the keys.

    With ASKING, add those of keys that ask for what is there before them, of which -y_grad is what they receive.
    """
    n, part, bh = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    batch, head = (bh // H).to(tl.int64), bh % H
    group = 0 if SHARED else head
    at_k, at_c = part * BK + tl.arange(0, BK), tl.arange(0, C)
    t = n * C + at_c
    at_chunk = bh.to(tl.int64) * tl.num_programs(0) + n
    at_t = (part * tl.num_programs(2) + bh).to(tl.int64) * T + t
    sums = sums_ptr + at_chunk * 2 * C
    v_ptr += batch * v_b + head * v_h
    y_grad_ptr += batch * y_b + head * y_h
    heads_ptr += at_chunk * size
    if left_ptr is not None:
        left_ptr += at_chunk * size

    scores_grad = tl.zeros((C, C), tl.float32)
    q_grad, k_grad = tl.zeros((C, BK), tl.float32), tl.zeros((C, BK), tl.float32)
    kept_on = tl.zeros((BK,), tl.float32)
    if weight_grad_ptr is not None:
        weight_grad = tl.load(weight_grad_ptr + bh.to(tl.int64) * T + t, mask=t < T, other=0.0)
        mass = tl.load(heads_ptr + K * V + at_k, mask=at_k < K, other=0.0)
        mass_left = tl.load(left_ptr + K * V + at_k, mask=at_k < K, other=0.0)
        scores_grad += weight_grad[:, None]
        q_grad += weight_grad[:, None] * mass[None, :]
        k_grad += mass_left[None, :]
        kept_on += mass * mass_left
    for start in range(0, V, BV):
        at_v = start + tl.arange(0, BV)
        v = tile(v_ptr, t, at_v, v_t, v_v, T, V)
        y_grad = tile(y_grad_ptr, t, at_v, y_t, y_v, T, V)
        if ASKING:
            y_grad = -y_grad
        found = tile(heads_ptr, at_v, at_k, 1, V, V, K)
        scores_grad += product(y_grad, tl.trans(v), EXACT)
        q_grad += product(y_grad, found, EXACT)
        if left_ptr is not None:
            left = tile(left_ptr, at_v, at_k, 1, V, V, K)
            k_grad += product(v, left, EXACT)
            kept_on += tl.sum(found * left, 0)

    if skip_grad_ptr is not None:
        if part == 0:
            from_itself = tl.sum(tl.where(at_c[:, None] == at_c[None, :], scores_grad, 0.0), 0)
            tl.store(skip_grad_ptr + bh.to(tl.int64) * T + t, from_itself, mask=t < T)
    q = tile(q_ptr + batch * q_b + group * q_g, t, at_k, q_t, q_k, T, K)
    k = tile(k_ptr + batch * k_b + group * k_g, t, at_k, k_t, k_k, T, K)
    from_start, to_end, over_all = decays_to_ends(sums, C)
    q_grad *= from_start[:, None]
    k_grad *= to_end[:, None]
    read, written = tl.sum(q_grad * q, 1), tl.sum(k_grad * k, 1)
    scores_grad *= decays(sums, C, False)
    if ASKING:
        scores_grad = tl.where(at_c[:, None] > at_c[None, :], scores_grad, 0.0)
    shares = scores_grad * product(q, tl.trans(k), EXACT)
    if strength_ptr is not None:
        strength = tl.load(strength_ptr + batch * b_b + head * b_h + t * b_t, mask=t < T, other=0.0)
        strength_grad = tl.sum(shares, 0) + written
        if ASKING:
            strength_grad += tl.load(strength_grad_ptr + at_t, mask=t < T, other=0.0)
        tl.store(strength_grad_ptr + at_t, strength_grad, mask=t < T)
        scores_grad *= strength[None, :]
        shares *= strength[None, :]
        k_grad *= strength[:, None]
        written *= strength
    q_grad += product(scores_grad, k, EXACT)
    k_grad += product(tl.trans(scores_grad), q, EXACT)

    at_grad = batch * grad_b + head * grad_h + t[:, None] * grad_t + at_k[None, :]
    inside = (t < T)[:, None] & (at_k < K)[None, :]
    if ASKING:
        k_grad += q_grad + tl.load(k_grad_ptr + at_grad, mask=inside, other=0.0)
    else:
        tl.store(q_grad_ptr + at_grad, q_grad.to(q_grad_ptr.dtype.element_ty), mask=inside)
    tl.store(k_grad_ptr + at_grad, k_grad.to(k_grad_ptr.dtype.element_ty), mask=inside)

    shares, written = shares.to(tl.float64), written.to(tl.float64)
    passed = tl.cumsum(tl.sum(shares, 1) - tl.sum(shares, 0) + read - written, 0, reverse=True)
    decay_grad = (passed + tl.sum(written, 0)).to(tl.float32) + tl.sum(kept_on, 0) * over_all
    if ASKING:
        decay_grad += tl.load(decay_grad_ptr + at_t, mask=t < T, other=0.0)
    tl.store(decay_grad_ptr + at_t, decay_grad, mask=t < T)


def gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    left: Tensor,
    y_grad: Tensor,
    weight_grad: Tensor | None = None,
    asked: Tensor | None = None,
    *,
    narrow: bool,
    form: Form | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of q and k for each head, of ln a and b for parts of the keys, and of d for each token.

    `asked` is what keys receive that ask for what is there before them.
    """
    (B, H, T, V), (G, K), size = v.shape, (q.shape[1], q.shape[3]), heads.shape[3]
    form = form or Form()
    n_parts = -(-K // 64)
    q_grad, k_grad = (  # each of its own type: hopfield's queries are wide beside narrow keys
        torch.empty(B, T, H, K, device=x.device, dtype=x.dtype if G == H else torch.float32).transpose(1, 2)
        for x in (q, k)
    )
    decay_grad = v.new_empty(n_parts, B, H, T, dtype=torch.float32)
    strength_grad = None if strength is None else torch.empty_like(decay_grad)
    skip_grad = None if skip is None else v.new_empty(B, H, T, dtype=torch.float32)

    def run(q: Tensor, y_grad: Tensor, left: Tensor | None, skip_grad: Tensor | None, *, asking: bool) -> None:
        gradient_kernel[(sums.shape[2], n_parts, B * H)](
            q, k, v, sums, strength, heads, y_grad, weight_grad, left,
            q_grad, k_grad, decay_grad, strength_grad, skip_grad,
            *q.stride(), *k.stride(), *v.stride(), *strides_of(strength, 3), *y_grad.stride(), *q_grad.stride()[:3],
            T, H, K, V, size, SHARED=G < H, C=CHUNK, BK=64, BV=form.columns, EXACT=not narrow, ASKING=asking,
            num_warps=form.warps, num_stages=form.stages,
        )  # fmt: skip

    run(q, y_grad, left, skip_grad, asking=False)
    if asked is not None:
        run(k, asked, None, None, asking=True)
    return q_grad, k_grad, decay_grad, strength_grad, skip_grad


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    y_grad: Tensor,
    weight_grad: Tensor | None,
    last_grad: Tensor | None,
    *,
    to_first: bool,
    narrow: bool,
    inverse: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of q, k, v, ln a, b, d and of the memory to start from."""
    if inverse is None:
        left, first_grad = walk(
            q, y_grad, sums, strength, last_grad, weight=weight_grad, backwards=True, last=to_first, narrow=narrow
        )
        v_grad = read(k, q, y_grad, sums, strength, skip, left, backwards=True, narrow=narrow, dtype=v.dtype)
    else:
        v_grad = read(k, q, y_grad, sums, strength, None, None, backwards=True, narrow=narrow)
        left, first_grad = walk(
            q, y_grad, sums, strength, last_grad, inverse=inverse, corrected=v_grad, key=k,
            backwards=True, last=to_first, narrow=narrow,
        )  # fmt: skip
    asked = None if inverse is None else v_grad
    q_grad, k_grad, decay_grad, strength_grad, skip_grad = gradients(
        q, k, v, sums, strength, skip, heads, left, y_grad, weight_grad, asked, narrow=narrow
    )
    if q.shape[1] < v.shape[1]:
        q_grad, k_grad = (grad.sum(1, keepdim=True).to(x.dtype).contiguous() for grad, x in ((q_grad, q), (k_grad, k)))
    decay_grad = decay_grad.sum(0) if len(decay_grad) > 1 else decay_grad[0]
    if strength_grad is not None:
        strength_grad = strength_grad.sum(0) if len(strength_grad) > 1 else strength_grad[0]
    skip_grad = None if skip_grad is None else skip_grad.sum((0, 2))
    return q_grad, k_grad, v_grad, decay_grad, strength_grad, skip_grad, first_grad
