"""The matrix memory of growlab.blocks.decaying_memory in Triton: both passes, by chunks, on tensor cores.

    S_t = a_t S_{t-1} + b_t k_t v_tᵀ,    y_t = S_tᵀ q_t + d v_t

**Forward.** A program walks along the chunks of one head, with the memory of some columns of the values in registers,
and leaves at the head of each chunk what it finds there: S. With g_t = Σ_{r≤t} ln a_r within the chunk, D_ts = e^(g_t -
g_s) for s ≤ t and P = q kᵀ ∘ D diag(b),

    y = P v + e^g q S,    S ← e^(g_C) S + kᵀ diag(b e^(g_C - g)) v

**Backward.** The gradients v̄ and S̄ are the same walk from the end, with q and k exchanged and ȳ for v: one kernel does
both. Then all chunks at once, with S̄ of the memory that a chunk leaves:

    P̄ = ȳ vᵀ ∘ D diag(b),  q̄ = P̄ k + e^g ȳ Sᵀ,  k̄ = P̄ᵀ q + b e^(g_C - g) v S̄ᵀ

The gradient of ln a_r is the sum of all that passes by r: of P̄ ∘ q kᵀ from s < r to t ≥ r, of e^g q ∘ ȳ Sᵀ at t ≥ r, of
b e^(g_C - g) k ∘ v S̄ᵀ at s < r, and e^(g_C) ⟨S, S̄⟩.

**Long texts.** Where heads alone do not fill the device, a text is cut into segments of whole chunks. Each is walked
once from an empty memory, for what it writes; what the segments write is handed on; then each is walked from what it
finds.

**Numbers.** Sums of ln a are fp64 within a chunk, so that their differences are exact to fp32; no exponent is positive.
So are the sums that the gradient of ln a is a difference of. Memories and all else are fp32. Products are of fp32's
exactness (three of tf32), unless a tensor came in bf16: then an fp32 factor is the sum of two in bf16, 16 bits where
what came has 8. Nothing depends on the order in which programs run.

Legend: B batch, H heads, G heads of queries and keys (H, or 1), T tokens, K entries of a key, V of a value, C tokens of
a chunk, N chunks, J segments.
"""

from typing import Any, NamedTuple

import torch
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
def sums_and_total(log_decay_ptr, stride_t, t, T):
    """Sums of ln a up to each token of a chunk, itself included, and over all of it, in fp64."""
    log_decay = tl.load(log_decay_ptr + t * stride_t, mask=t < T, other=0.0).to(tl.float64)
    return tl.cumsum(log_decay, 0), tl.sum(log_decay, 0)


@triton.jit
def decay_of_pairs(sums, C: tl.constexpr, TRANSPOSED: tl.constexpr):
    """Compute D of a chunk, or its transpose: each sum is of two fp32 numbers, whose differences are exact to fp32."""
    high = sums.to(tl.float32)
    low = (sums - high).to(tl.float32)
    at = tl.arange(0, C)
    if TRANSPOSED:
        passed, seen = (high[None, :] - high[:, None]) + (low[None, :] - low[:, None]), at[:, None] <= at[None, :]
    else:
        passed, seen = (high[:, None] - high[None, :]) + (low[:, None] - low[None, :]), at[:, None] >= at[None, :]
    return tl.exp(tl.where(seen, passed, float("-inf")))


@triton.jit
def tile(ptr, rows, columns, stride_row, stride_column, n_rows, n_columns):
    """Load rows and columns of a matrix, zeros beyond it."""
    inside = (rows < n_rows)[:, None] & (columns < n_columns)[None, :]
    return tl.load(ptr + rows[:, None] * stride_row + columns[None, :] * stride_column, mask=inside, other=0.0)


@triton.jit
def walk_kernel(
    q_ptr, k_ptr, v_ptr, log_decay_ptr, strength_ptr, skip_ptr, inverse_ptr, first_ptr,
    y_ptr, missed_ptr, heads_ptr, last_ptr,
    q_b, q_g, q_t, q_k, k_b, k_g, k_t, k_k, v_b, v_h, v_t, v_v, a_b, a_h, a_t, b_b, b_h, b_t,
    first_b, first_j, y_b, y_h, y_t,
    T, H, K, V, per_segment,
    SHARED: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, EXACT: tl.constexpr,
    BACKWARDS: tl.constexpr, READ: tl.constexpr, KEEP: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    """Walk along one segment of one head, for BV columns of the values. See the head of this file."""
    j, bh = tl.program_id(1), tl.program_id(2)
    n_chunks = tl.cdiv(T, C)
    batch, head = (bh // H).to(tl.int64), bh % H
    group = 0 if SHARED else head
    q_ptr += batch * q_b + group * q_g
    k_ptr += batch * k_b + group * k_g
    v_ptr += batch * v_b + head * v_h
    y_ptr += batch * y_b + head * y_h
    log_decay_ptr += batch * a_b + head * a_h
    if strength_ptr is not None:
        strength_ptr += batch * b_b + head * b_h
    at_k, at_v, at_c = tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV), tl.arange(0, C)
    of_memory = at_k[:, None] * V + at_v[None, :]
    in_memory = (at_k < K)[:, None] & (at_v < V)[None, :]

    if first_ptr is None:
        memory = tl.zeros((BK, BV), tl.float32)
    else:
        memory = tl.load(first_ptr + bh.to(tl.int64) * first_b + j * first_j + of_memory, mask=in_memory, other=0.0)
    first_n = j * per_segment
    for step in range(first_n, tl.minimum(first_n + per_segment, n_chunks)):
        n = n_chunks - 1 - step if BACKWARDS else step
        t = n * C + at_c
        sums, total = sums_and_total(log_decay_ptr, a_t, t, T)
        k = tile(k_ptr, t, at_k, k_t, k_k, T, K)
        v = tile(v_ptr, t, at_v, v_t, v_v, T, V)
        from_start, to_end = tl.exp(sums.to(tl.float32)), tl.exp((total - sums).to(tl.float32))
        if BACKWARDS:
            from_start, to_end = to_end, from_start
        if strength_ptr is not None:
            strength = tl.load(strength_ptr + t * b_t, mask=t < T, other=0.0)
        if KEEP:
            kept_at = heads_ptr + (bh.to(tl.int64) * n_chunks + n) * K * V + of_memory
            tl.store(kept_at, memory, mask=in_memory)
        if inverse_ptr is not None:
            inverse = tl.load(inverse_ptr + ((bh.to(tl.int64) * n_chunks + n) * C + at_c[:, None]) * C + at_c)
        if inverse_ptr is not None and not BACKWARDS:
            v = product(inverse, v - product(k, memory, EXACT) * from_start[:, None], EXACT)
            at_v_here = ((batch * T + t[:, None]) * H + head) * V + at_v[None, :]
            tl.store(missed_ptr + at_v_here, v, mask=(t < T)[:, None] & (at_v < V)[None, :])
        if READ:
            q = tile(q_ptr, t, at_k, q_t, q_k, T, K)
            scores = product(q, tl.trans(k), EXACT) * decay_of_pairs(sums, C, BACKWARDS)
            if strength_ptr is not None and not BACKWARDS:
                scores *= strength[None, :]
            y = product(q, memory, EXACT) * from_start[:, None]
            y += product(scores, v, EXACT)
            if strength_ptr is not None and BACKWARDS:
                y *= strength[:, None]
            if inverse_ptr is not None and BACKWARDS:
                y = product(tl.trans(inverse), y, EXACT)
            if skip_ptr is not None:
                y += tl.load(skip_ptr + head) * v.to(tl.float32)
            inside = (t < T)[:, None] & (at_v < V)[None, :]
            tl.store(y_ptr + t[:, None] * y_t + at_v[None, :], y.to(y_ptr.dtype.element_ty), mask=inside)
        if strength_ptr is not None and not BACKWARDS:
            to_end *= strength
        if v.dtype == tl.bfloat16:
            written = product(tl.trans(k * to_end[:, None]), v, EXACT)
        else:
            written = product(tl.trans(k), v * to_end[:, None], EXACT)
        if inverse_ptr is not None and BACKWARDS:
            written -= product(tl.trans(q), y * to_end[:, None], EXACT)
        memory = memory * tl.exp(total.to(tl.float32)) + written
    if LAST:
        last_at = last_ptr + (bh.to(tl.int64) * tl.num_programs(1) + j) * K * V + of_memory
        tl.store(last_at, memory, mask=in_memory)


@triton.jit
def gradient_kernel(
    q_ptr, k_ptr, v_ptr, log_decay_ptr, strength_ptr, heads_ptr, y_grad_ptr, left_ptr,
    q_grad_ptr, k_grad_ptr, decay_grad_ptr, strength_grad_ptr, skip_grad_ptr, asked_ptr,
    q_b, q_g, q_t, q_k, k_b, k_g, k_t, k_k, v_b, v_h, v_t, v_v, a_b, a_h, a_t, b_b, b_h, b_t,
    y_b, y_h, y_t, y_v, grad_b, grad_h, grad_t,
    T, H, K, V,
    SHARED: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of one chunk's queries, keys, decays and strengths, for BK columns of the keys."""
    n, part, bh = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    batch, head = (bh // H).to(tl.int64), bh % H
    group = 0 if SHARED else head
    at_k, at_c = part * BK + tl.arange(0, BK), tl.arange(0, C)
    t = n * C + at_c
    sums, total = sums_and_total(log_decay_ptr + batch * a_b + head * a_h, a_t, t, T)
    v_ptr += batch * v_b + head * v_h
    y_grad_ptr += batch * y_b + head * y_h
    of_chunk = (bh.to(tl.int64) * tl.num_programs(0) + n) * K * V

    scores_grad = tl.zeros((C, C), tl.float32)
    q_grad, k_grad = tl.zeros((C, BK), tl.float32), tl.zeros((C, BK), tl.float32)
    kept_on = tl.zeros((BK,), tl.float64)
    if asked_ptr is not None:
        met_grad, asked_grad = tl.zeros((C, C), tl.float32), tl.zeros((C, BK), tl.float32)
    for start in range(0, V, BV):
        at_v = start + tl.arange(0, BV)
        v = tile(v_ptr, t, at_v, v_t, v_v, T, V)
        y_grad = tile(y_grad_ptr, t, at_v, y_t, y_v, T, V)
        found = tile(heads_ptr + of_chunk, at_v, at_k, 1, V, V, K)
        left = tile(left_ptr + of_chunk, at_v, at_k, 1, V, V, K)
        scores_grad += product(y_grad, tl.trans(v), EXACT)
        q_grad += product(y_grad, found, EXACT)
        k_grad += product(v, left, EXACT)
        kept_on += tl.sum(found * left, 0).to(tl.float64)
        if asked_ptr is not None:
            inside = (t < T)[:, None] & (at_v < V)[None, :]
            at_v_here = ((batch * T + t[:, None]) * H + head) * V + at_v[None, :]
            asked = tl.load(asked_ptr + at_v_here, mask=inside, other=0.0)
            met_grad -= product(asked, tl.trans(v), EXACT)
            asked_grad -= product(asked, found, EXACT)

    if skip_grad_ptr is not None:
        if part == 0:
            from_itself = tl.sum(tl.where(at_c[:, None] == at_c[None, :], scores_grad, 0.0), 0)
            tl.store(skip_grad_ptr + bh.to(tl.int64) * T + t, from_itself, mask=t < T)

    q = tile(q_ptr + batch * q_b + group * q_g, t, at_k, q_t, q_k, T, K)
    k = tile(k_ptr + batch * k_b + group * k_g, t, at_k, k_t, k_k, T, K)
    q_grad *= tl.exp(sums.to(tl.float32))[:, None]
    k_grad *= tl.exp((total - sums).to(tl.float32))[:, None]
    read = tl.sum(q_grad * q, 1).to(tl.float64)
    written = tl.sum(k_grad * k, 1)
    kept = decay_of_pairs(sums, C, False)
    scores_grad *= kept
    shares = scores_grad * product(q, tl.trans(k), EXACT)
    if asked_ptr is not None:
        met_grad *= tl.where(at_c[:, None] > at_c[None, :], kept, 0.0)
        shares += met_grad * product(k, tl.trans(k), EXACT)
        asked_grad *= tl.exp(sums.to(tl.float32))[:, None]
        read += tl.sum(asked_grad * k, 1).to(tl.float64)
    if strength_ptr is not None:
        strength = tl.load(strength_ptr + batch * b_b + head * b_h + t * b_t, mask=t < T, other=0.0)
        at_strength = (part * tl.num_programs(2) + bh).to(tl.int64) * T + t
        tl.store(strength_grad_ptr + at_strength, tl.sum(shares, 0) + written, mask=t < T)
        scores_grad *= strength[None, :]
        shares *= strength[None, :]
        k_grad *= strength[:, None]
        written *= strength
        if asked_ptr is not None:
            met_grad *= strength[None, :]
    if asked_ptr is not None:
        k_grad += asked_grad + product(met_grad, k, EXACT) + product(tl.trans(met_grad), k, EXACT)
    q_grad += product(scores_grad, k, EXACT)
    k_grad += product(tl.trans(scores_grad), q, EXACT)

    at_grad = batch * grad_b + head * grad_h + t[:, None] * grad_t + at_k[None, :]
    inside = (t < T)[:, None] & (at_k < K)[None, :]
    tl.store(q_grad_ptr + at_grad, q_grad.to(q_grad_ptr.dtype.element_ty), mask=inside)
    tl.store(k_grad_ptr + at_grad, k_grad.to(k_grad_ptr.dtype.element_ty), mask=inside)

    shares = shares.to(tl.float64)
    written64 = written.to(tl.float64)
    flow = tl.sum(shares, 1) - tl.sum(shares, 0) + read - written64
    whole = tl.sum(written64, 0) + tl.sum(kept_on, 0) * tl.exp(total.to(tl.float32)).to(tl.float64)
    decay_grad = tl.cumsum(flow, 0, reverse=True) + whole
    at_decay = (part * tl.num_programs(2) + bh).to(tl.int64) * T + t
    tl.store(decay_grad_ptr + at_decay, decay_grad.to(tl.float32), mask=t < T)


@triton.jit
def hand_on_kernel(written_ptr, total_ptr, first_ptr, found_ptr, last_ptr, size, J, BLOCK: tl.constexpr):
    """From what each segment writes, and e^total of it that is left, make what each finds and what the last leaves."""
    bh = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    if first_ptr is None:
        memory = tl.zeros((BLOCK,), tl.float32)
    else:
        memory = tl.load(first_ptr + bh * size + at, mask=inside, other=0.0)
    for j in range(J):
        here = (bh * J + j) * size + at
        tl.store(found_ptr + here, memory, mask=inside)
        memory = memory * tl.exp(tl.load(total_ptr + bh * J + j)) + tl.load(written_ptr + here, mask=inside, other=0.0)
    tl.store(last_ptr + bh * size + at, memory, mask=inside)


class Form(NamedTuple):
    """How a kernel is cut and run."""

    columns: int  # of values that a program of the walk holds
    warps: int = 4
    stages: int = 2


def width(K: int) -> int:
    """Columns of a tile: Triton's products on Hopper are wrong, or read beyond it, where a tile has 16 or 32."""
    return max(64, 1 << (K - 1).bit_length())


def walk_form(K: int, V: int) -> Form:
    return Form(64, 4 if K <= 64 else 8)


def gradient_form(K: int, V: int) -> tuple[int, Form]:
    """Columns of the keys, and how values are cut."""
    return 64, Form(64, 4)


def n_segments(n_programs: int, n_chunks: int) -> int:
    """Segments of a text, where whole texts make so many programs."""
    return max(1, min(512 // n_programs, n_chunks // 4))


def walk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    first: Tensor | None,
    *,
    inverse: Tensor | None = None,
    missed: Tensor | None = None,
    backwards: bool = False,
    keep: bool,
    last: bool,
    narrow: bool,
    y_dtype: torch.dtype = torch.float32,
    form: Form | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Walk along all heads: y, the memories that chunks find (of values that a walk from the end finds), the last."""
    (B, H, T, V), K = v.shape, q.shape[3]
    n_chunks = -(-T // CHUNK)
    form = form or walk_form(K, V)
    n_columns = -(-V // form.columns)
    J = n_segments(n_columns * B * H, n_chunks) if inverse is None else 1
    per_segment = -(-n_chunks // J)
    J = -(-n_chunks // per_segment)
    y = torch.empty(B, T, H, V, device=v.device, dtype=y_dtype).transpose(1, 2)
    heads = v.new_empty(B, H, n_chunks, K, V, dtype=torch.float32) if keep else None
    last_BHKV = v.new_empty(B, H, K, V, dtype=torch.float32) if last else None
    strides = (*q.stride(), *k.stride(), *v.stride(), *log_decay.stride())
    strides += strength.stride() if strength is not None else (0, 0, 0)

    def run(first: Tensor | None, y: Tensor, last: Tensor | None, *, read: bool) -> None:
        walk_kernel[(n_columns, J, B * H)](
            q, k, v, log_decay, strength, skip, inverse, first, y, missed, heads, last, *strides,
            *((0, 0) if first is None else (first.stride(1), first.stride(2)) if J > 1 else (K * V, 0)),
            *y.stride()[:3], T, H, K, V, per_segment,
            SHARED=q.shape[1] < H, C=CHUNK, BK=width(K), BV=form.columns, EXACT=not narrow,
            BACKWARDS=backwards, READ=read, KEEP=keep and read, LAST=last is not None,
            num_warps=form.warps, num_stages=form.stages,
        )  # fmt: skip

    if J == 1:
        run(first, y, last_BHKV, read=True)
        return y, heads, last_BHKV
    written, found = v.new_empty(2, B, H, J, K, V, dtype=torch.float32).unbind(0)
    run(None, y, written, read=False)
    totals = _totals(log_decay, per_segment * CHUNK, J, backwards)
    end = v.new_empty(B, H, K, V, dtype=torch.float32)
    hand_on_kernel[(triton.cdiv(K * V, 1024), B * H)](written, totals, first, found, end, K * V, J, BLOCK=1024)
    run(found, y, None, read=True)
    return y, heads, end if last else None


def _totals(log_decay: Tensor, length: int, J: int, backwards: bool) -> Tensor:
    """Sums of ln a over each segment, in the order in which they are walked."""
    short = J * length - log_decay.shape[2]
    if backwards:
        log_decay = log_decay.flip(2)
        # the last chunk, which is walked first, may be short
        ragged = -log_decay.shape[2] % CHUNK
        log_decay = torch.nn.functional.pad(log_decay, (ragged, short - ragged))
    else:
        log_decay = torch.nn.functional.pad(log_decay, (0, short))
    return log_decay.view(*log_decay.shape[:2], J, length).sum(-1, dtype=torch.float64).float()


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    memory: Tensor | None,
    *,
    keep: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """What each token reads, the memories that the chunks find, the last one."""
    narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    memory = None if memory is None else memory.contiguous()
    return walk(q, k, v, log_decay, strength, skip, memory, keep=keep, last=memory is not None, narrow=narrow)


def backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    y_grad: Tensor,
    last_grad: Tensor | None,
    *,
    to_first: bool,
    narrow: bool,
    inverse: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of q, k, v, log_decay, strength, skip and of the memory to start from."""
    last_grad = None if last_grad is None else last_grad.contiguous()
    v_grad, left, first_grad = walk(
        k, q, y_grad, log_decay, strength, skip, last_grad,
        inverse=inverse, backwards=True, keep=True, last=to_first, narrow=narrow, y_dtype=v.dtype,
    )  # fmt: skip
    assert left is not None
    asked = None if inverse is None else v_grad
    grads = of_chunks(q, k, v, log_decay, strength, skip, heads, left, y_grad, asked, narrow=narrow)
    q_grad, k_grad, decay_grad, strength_grad, skip_grad = grads
    if q.shape[1] < v.shape[1]:
        q_grad, k_grad = (grad.sum(1, keepdim=True).to(q.dtype).contiguous() for grad in (q_grad, k_grad))
    decay_grad = decay_grad.sum(0) if len(decay_grad) > 1 else decay_grad[0]
    if strength_grad is not None:
        strength_grad = strength_grad.sum(0) if len(strength_grad) > 1 else strength_grad[0]
    skip_grad = None if skip_grad is None else skip_grad.sum((0, 2))
    return q_grad, k_grad, v_grad, decay_grad, strength_grad, skip_grad, first_grad


def of_chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    left: Tensor,
    y_grad: Tensor,
    asked: Tensor | None,
    *,
    narrow: bool,
    form: tuple[int, Form] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of q and k for each head, of ln a and b for parts of the keys, and of d for each token."""
    (B, H, T, V), (G, K) = v.shape, (q.shape[1], q.shape[3])
    keys, (columns, warps, stages) = form or gradient_form(K, V)
    n_parts, n_chunks = -(-K // keys), heads.shape[2]
    q_grad = torch.empty(B, T, H, K, device=q.device, dtype=q.dtype if G == H else torch.float32).transpose(1, 2)
    k_grad = torch.empty_like(q_grad)
    decay_grad = v.new_empty(n_parts, B, H, T, dtype=torch.float32)
    strength_grad = None if strength is None else torch.empty_like(decay_grad)
    skip_grad = None if skip is None else v.new_empty(B, H, T, dtype=torch.float32)
    gradient_kernel[(n_chunks, n_parts, B * H)](
        q, k, v, log_decay, strength, heads, y_grad, left, q_grad, k_grad, decay_grad, strength_grad, skip_grad, asked,
        *q.stride(), *k.stride(), *v.stride(), *log_decay.stride(),
        *(strength.stride() if strength is not None else (0, 0, 0)),
        *y_grad.stride(), *q_grad.stride()[:3],
        T, H, K, V, SHARED=G < H, C=CHUNK, BK=keys, BV=columns, EXACT=not narrow, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return q_grad, k_grad, decay_grad, strength_grad, skip_grad


# ---- as operators of torch -------------------------------------------------------------------------------------------


def remember(
    q_BGTK: Tensor,
    k_BGTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    memory_BHKV: Tensor | None = None,
    strength_BHT: Tensor | None = None,
    skip_H: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute what growlab.blocks.decaying_memory.remember does."""
    inputs = (q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, memory_BHKV, strength_BHT, skip_H)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs)
    y_BHTV, last_BHKV, _ = _remember(*inputs, keep)
    return y_BHTV, None if memory_BHKV is None else last_BHKV


@torch.library.custom_op("growlab::remember", mutates_args=())
def _remember(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """What is read, the last memory, and those that the chunks find; of no numbers where nobody asks for them."""
    y, heads, last = forward(q, k, v, log_decay, strength, skip, memory, keep=keep)
    return y, v.new_empty(0) if last is None else last, v.new_empty(0) if heads is None else heads


@_remember.register_fake
def _empty_remember(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    (B, H, T, V), K = v.shape, q.shape[3]
    y = v.new_empty(B, T, H, V, dtype=torch.float32).transpose(1, 2)
    last = v.new_empty(0) if memory is None else v.new_empty(B, H, K, V, dtype=torch.float32)
    return y, last, v.new_empty(B, H, -(-T // CHUNK), K, V, dtype=torch.float32) if keep else v.new_empty(0)


@torch.library.custom_op("growlab::remember_backward", mutates_args=())
def _remember_backward(
    y_grad: Tensor,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
) -> list[Tensor]:
    """Gradients of q, k, v, ln a, of the first memory and of the strengths; of no numbers where there are none."""
    narrow = torch.bfloat16 in (q.dtype, k.dtype, v.dtype)
    grads = backward(
        q, k, v, log_decay, strength, skip, heads, y_grad, last_grad, to_first=memory is not None, narrow=narrow
    )
    q_grad, k_grad, v_grad, decay_grad, strength_grad, skip_grad, first_grad = grads
    return [q_grad, k_grad, v_grad, decay_grad] + [
        v.new_empty(0) if grad is None else grad for grad in (first_grad, strength_grad, skip_grad)
    ]


@_remember_backward.register_fake
def _empty_remember_backward(
    y_grad: Tensor,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
) -> list[Tensor]:
    def by_token(like: Tensor) -> Tensor:
        B, H, T, E = like.shape
        return like.new_empty(B, T, H, E).transpose(1, 2)

    def one_head(like: Tensor) -> Tensor:
        return by_token(like) if like.shape[1] == v.shape[1] else like.new_empty(like.shape)

    grads = [one_head(q), one_head(k), by_token(v), log_decay.new_empty(log_decay.shape)]
    return grads + [v.new_empty(0) if of is None else of.new_empty(of.shape) for of in (memory, strength, skip)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:7], output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, y_grad: Tensor | None, last_grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    q, k, v, log_decay, memory, strength, skip, heads = ctx.saved_tensors
    y_grad = v.new_zeros(v.shape, dtype=torch.float32) if y_grad is None else y_grad
    last_grad = None if memory is None else last_grad
    grads = _remember_backward(y_grad, last_grad, q, k, v, log_decay, memory, strength, skip, heads)
    optional = [None if of is None else grad for of, grad in zip((memory, strength, skip), grads[4:], strict=True)]
    return *grads[:4], *optional, None


_remember.register_autograd(_backward, setup_context=_keep)
