"""The matrix memory of growlab.blocks.decaying_memory in Triton: both passes, by chunks, on tensor cores.

    S_t = a_t S_{t-1} + b_t k_t v_tᵀ,    y_t = S_tᵀ q_t + d v_t

**Forward.** A program walks along the chunks of one head, with a part of the memory in registers, and leaves at the
head of each chunk what it finds there: S. Then all chunks are read at once. With g_t = Σ_{r≤t} ln a_r within the chunk,
D_ts = e^(g_t - g_s) for s ≤ t and P = q kᵀ ∘ D diag(b),

    S ← e^(g_C) S + kᵀ diag(b e^(g_C - g)) v,    y = P v + e^g q S

Weighed, it tells the sum of the weights with which each token reads, too: P 1 + e^g q z, of a memory z of values 1.

**Backward.** The gradient S̄ of the memory that a chunk leaves is the same walk from the end, of q and ȳ; v̄ is read from
it, with q and k exchanged and ȳ for v: the same kernels do both. What is left is of each chunk:

    P̄ = ȳ vᵀ ∘ D diag(b),  q̄ = P̄ k + e^g ȳ Sᵀ,  k̄ = P̄ᵀ q + b e^(g_C - g) v S̄ᵀ

The gradient of ln a_r is the sum of all that passes by r: of P̄ ∘ q kᵀ from s < r to t ≥ r, of e^g q ∘ ȳ Sᵀ at t ≥ r, of
b e^(g_C - g) k ∘ v S̄ᵀ at s < r, and e^(g_C) ⟨S, S̄⟩.

**Long texts.** Where heads alone do not fill the device, a text is cut into segments of whole chunks. Each is walked
once from an empty memory, for what it writes; what the segments write is handed on; then each is walked from what it
finds.

**Numbers.** A sum g is kept as the sum of two fp32 numbers, so that differences are exact to fp32; no exponent is
positive. What the gradient of ln a is a difference of is added up in fp64. Memories and all else are fp32. Products are
of fp32's exactness (three of tf32), unless a tensor came in bf16: then an fp32 factor is the sum of two in bf16, 16
bits where what came has 8. Nothing depends on the order in which programs run.

Legend: B batch, H heads, G heads of queries and keys (H, or 1), T tokens, K entries of a key, V of a value, C tokens of
a chunk, N chunks, J segments.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor, library

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


@triton.jit
def walk_kernel(
    k_ptr, v_ptr, sums_ptr, strength_ptr, weight_ptr, key_ptr, inverse_ptr, first_ptr,
    corrected_ptr, heads_ptr, last_ptr,
    k_b, k_g, k_t, k_k, v_b, v_h, v_t, v_v, b_b, b_h, b_t, key_b, key_h, key_t, key_k, first_b, first_j,
    T, H, K, V, size, per_segment, n_parts,
    SHARED: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, EXACT: tl.constexpr,
    BACKWARDS: tl.constexpr, KEEP: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    """Walk along one segment of one head, for BK entries of the keys and BV of the values.

    With an inverse, what is written is not v but corrected by what is met there, and left in `corrected`.
    """
    part, j, bh = tl.program_id(1) % n_parts, tl.program_id(1) // n_parts, tl.program_id(2)
    n_chunks, n_segments = tl.cdiv(T, C), tl.num_programs(1) // n_parts
    batch, head = (bh // H).to(tl.int64), bh % H
    group = 0 if SHARED else head
    k_ptr += batch * k_b + group * k_g
    v_ptr += batch * v_b + head * v_h
    if strength_ptr is not None:
        strength_ptr += batch * b_b + head * b_h
    at_k, at_v, at_c = part * BK + tl.arange(0, BK), tl.program_id(0) * BV + tl.arange(0, BV), tl.arange(0, C)
    of_memory, of_mass = at_k[:, None] * V + at_v[None, :], K * V + at_k
    in_memory, in_mass = (at_k < K)[:, None] & (at_v < V)[None, :], at_k < tl.where(tl.program_id(0) == 0, K, 0)

    memory, mass = tl.zeros((BK, BV), tl.float32), tl.zeros((BK,), tl.float32)
    if first_ptr is not None:
        first_ptr += bh.to(tl.int64) * first_b + j * first_j
        memory = tl.load(first_ptr + of_memory, mask=in_memory, other=0.0)
        if weight_ptr is not None:
            mass = tl.load(first_ptr + of_mass, mask=at_k < K, other=0.0)
    first_n = j * per_segment
    for step in range(first_n, tl.minimum(first_n + per_segment, n_chunks)):
        n = n_chunks - 1 - step if BACKWARDS else step
        at_chunk = bh.to(tl.int64) * n_chunks + n
        t = n * C + at_c
        k = tile(k_ptr, t, at_k, k_t, k_k, T, K)
        v = tile(v_ptr, t, at_v, v_t, v_v, T, V)
        if KEEP:
            tl.store(heads_ptr + at_chunk * size + of_memory, memory, mask=in_memory)
            if weight_ptr is not None:
                tl.store(heads_ptr + at_chunk * size + of_mass, mass, mask=in_mass)
        from_start, to_end, over_all = decays_to_ends(sums_ptr + at_chunk * 2 * C, C)
        share = from_start if BACKWARDS else to_end
        if strength_ptr is not None:
            strength = tl.load(strength_ptr + t * b_t, mask=t < T, other=0.0)
            if not BACKWARDS:
                share *= strength
        if inverse_ptr is not None:
            inverse = tl.load(inverse_ptr + (at_chunk * C + at_c[:, None]) * C + at_c)
            corrected_at = corrected_ptr + ((batch * T + t[:, None]) * H + head) * V + at_v[None, :]
            inside = (t < T)[:, None] & (at_v < V)[None, :]
            if BACKWARDS:
                key = tile(key_ptr + batch * key_b + head * key_h, t, at_k, key_t, key_k, T, K)
                met = product(key, memory, EXACT) * (to_end * strength)[:, None]
                met += tl.load(corrected_at, mask=inside, other=0.0)
                corrected = product(tl.trans(inverse), met, EXACT)
            else:
                corrected = product(inverse, v - product(k, memory, EXACT) * from_start[:, None], EXACT)
                v = corrected
            tl.store(corrected_at, corrected, mask=inside)
        if v.dtype == tl.bfloat16:
            written = product(tl.trans(k * share[:, None]), v, EXACT)
        else:
            written = product(tl.trans(k), v * share[:, None], EXACT)
        if inverse_ptr is not None and BACKWARDS:
            written -= product(tl.trans(key), corrected * share[:, None], EXACT)
        memory = memory * over_all + written
        if weight_ptr is not None:
            if BACKWARDS:
                share *= tl.load(weight_ptr + bh.to(tl.int64) * T + t, mask=t < T, other=0.0)
            mass = mass * over_all + tl.sum(k.to(tl.float32) * share[:, None], 0)
    if LAST:
        last_ptr += (bh.to(tl.int64) * n_segments + j) * size
        tl.store(last_ptr + of_memory, memory, mask=in_memory)
        if weight_ptr is not None:
            tl.store(last_ptr + of_mass, mass, mask=in_mass)


@triton.jit
def read_kernel(
    q_ptr, k_ptr, v_ptr, sums_ptr, strength_ptr, skip_ptr, heads_ptr, y_ptr, weight_ptr,
    q_b, q_g, q_t, q_k, k_b, k_g, k_t, k_k, v_b, v_h, v_t, v_v, b_b, b_h, b_t, y_b, y_h, y_t, T, H, K, V, size,
    SHARED: tl.constexpr, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, EXACT: tl.constexpr,
    BACKWARDS: tl.constexpr,
):  # fmt: skip
    """Compute y of one chunk, for BV columns of the values, and the weights; or, from the end, v̄ of ȳ."""
    n, bh = tl.program_id(1), tl.program_id(2)
    batch, head = (bh // H).to(tl.int64), bh % H
    group = 0 if SHARED else head
    q_ptr += batch * q_b + group * q_g
    k_ptr += batch * k_b + group * k_g
    at_v, at_c = tl.program_id(0) * BV + tl.arange(0, BV), tl.arange(0, C)
    t = n * C + at_c
    at_chunk = bh.to(tl.int64) * tl.num_programs(1) + n
    y, scores = tl.zeros((C, BV), tl.float32), tl.zeros((C, C), tl.float32)
    weight = tl.zeros((C,), tl.float32)
    for start in range(0, K, BK):
        at_k = start + tl.arange(0, BK)
        q = tile(q_ptr, t, at_k, q_t, q_k, T, K)
        k = tile(k_ptr, t, at_k, k_t, k_k, T, K)
        scores += product(q, tl.trans(k), EXACT)
        if heads_ptr is not None:
            y += product(q, tile(heads_ptr + at_chunk * size, at_k, at_v, V, 1, K, V), EXACT)
            if weight_ptr is not None:
                mass = tl.load(heads_ptr + at_chunk * size + K * V + at_k, mask=at_k < K, other=0.0)
                weight += tl.sum(q.to(tl.float32) * mass[None, :], 1)
    from_start, to_end, _ = decays_to_ends(sums_ptr + at_chunk * 2 * C, C)
    far = to_end if BACKWARDS else from_start
    scores *= decays(sums_ptr + at_chunk * 2 * C, C, BACKWARDS)
    if strength_ptr is not None:
        strength = tl.load(strength_ptr + batch * b_b + head * b_h + t * b_t, mask=t < T, other=0.0)
        if not BACKWARDS:
            scores *= strength[None, :]
    if weight_ptr is not None:
        weight = weight * far + tl.sum(scores, 1)
        tl.store(weight_ptr + bh.to(tl.int64) * T + t, weight, mask=t < tl.where(tl.program_id(0) == 0, T, 0))
    v = tile(v_ptr + batch * v_b + head * v_h, t, at_v, v_t, v_v, T, V)
    y = y * far[:, None] + product(scores, v, EXACT)
    if strength_ptr is not None and BACKWARDS:
        y *= strength[:, None]
    if skip_ptr is not None:
        y += tl.load(skip_ptr + head) * v.to(tl.float32)
    y_ptr += batch * y_b + head * y_h
    inside = (t < T)[:, None] & (at_v < V)[None, :]
    tl.store(y_ptr + t[:, None] * y_t + at_v[None, :], y.to(y_ptr.dtype.element_ty), mask=inside)


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


@triton.jit
def hand_on_kernel(written_ptr, total_ptr, first_ptr, found_ptr, last_ptr, size, J, BLOCK: tl.constexpr):
    """From what each segment writes, and e^total of it that is left, make what each finds and what the last leaves."""
    bh = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    memory = tl.zeros((BLOCK,), tl.float32)
    if first_ptr is not None:
        memory = tl.load(first_ptr + bh * size + at, mask=inside, other=0.0)
    for j in range(J):
        here = (bh * J + j) * size + at
        tl.store(found_ptr + here, memory, mask=inside)
        memory = memory * tl.exp(tl.load(total_ptr + bh * J + j)) + tl.load(written_ptr + here, mask=inside, other=0.0)
    tl.store(last_ptr + bh * size + at, memory, mask=inside)


# ---- how kernels are run ---------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """How a kernel is cut and run. Measured on an H200."""

    columns: int = 64  # of values that a program holds at once
    warps: int = 4
    stages: int = 1


def width(K: int) -> int:
    """Columns of a tile: Triton's products on Hopper are wrong, or read beyond it, where a tile has 16 or 32."""
    return max(64, 1 << (K - 1).bit_length())


def sums_of(log_decay: Tensor) -> Tensor:
    """The sums g within each chunk, high and low: (B, H, N, 2, C)."""
    B, H, T = log_decay.shape
    sums = log_decay.new_empty(B, H, -(-T // CHUNK), 2, CHUNK)
    sums_kernel[(sums.shape[2], B * H)](log_decay, sums, *log_decay.stride(), T, H, C=CHUNK, num_warps=1)
    return sums


def n_segments(n_programs: int, n_chunks: int) -> int:
    """Segments of a text, where whole texts make so many programs."""
    return max(1, min(512 // n_programs, n_chunks // 4))


def strides_of(tensor: Tensor | None, n: int) -> tuple[int, ...]:
    return (0,) * n if tensor is None else tensor.stride()[:n]


def walk(
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    strength: Tensor | None,
    first: Tensor | None,
    *,
    weight: Tensor | None = None,
    inverse: Tensor | None = None,
    corrected: Tensor | None = None,
    key: Tensor | None = None,
    backwards: bool = False,
    last: bool,
    narrow: bool,
    form: Form | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Walk along all heads: the memories that chunks find (from the end, the gradients of what they leave), the last.

    `weight` says, forwards, that values 1 are written too, and is from the end the gradient of what is read of them.
    With `inverse` it fills `corrected`; from the end it finds there what comes from within chunks, and needs `key`.
    """
    (B, H, T, V), K, N = v.shape, k.shape[3], sums.shape[2]
    form = form or Form(stages=2)
    size, n_columns = K * V + (0 if weight is None else K), -(-V // form.columns)
    entries = 64 if inverse is None else width(K)
    n_parts = -(-K // entries)
    J = n_segments(n_columns * n_parts * B * H, N) if inverse is None else 1
    per_segment = -(-N // J)
    J = -(-N // per_segment)
    heads = sums.new_empty(B, H, N, size)
    end = sums.new_empty(B, H, size) if last or J > 1 else None

    def run(first: Tensor | None, end: Tensor | None, *, keep: bool) -> None:
        walk_kernel[(n_columns, J * n_parts, B * H)](
            k, v, sums, strength, weight, key, inverse, first, corrected, heads, end,
            *k.stride(), *v.stride(), *strides_of(strength, 3), *strides_of(key, 4), J * size if J > 1 else size, size,
            T, H, K, V, size, per_segment, n_parts,
            SHARED=k.shape[1] < H, C=CHUNK, BK=entries, BV=form.columns, EXACT=not narrow, BACKWARDS=backwards,
            KEEP=keep, LAST=end is not None, num_warps=form.warps, num_stages=form.stages,
        )  # fmt: skip

    if J == 1:
        run(first, end, keep=True)
        return heads, end
    written, found = sums.new_empty(2, B, H, J, size).unbind(0)
    run(None, written, keep=False)
    totals = _totals(sums, per_segment, J, backwards)
    hand_on_kernel[(triton.cdiv(size, 1024), B * H)](written, totals, first, found, end, size, J, BLOCK=1024)
    run(found, None, keep=True)
    return heads, end if last else None


def read(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sums: Tensor,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor | None,
    *,
    weight: Tensor | None = None,
    backwards: bool = False,
    narrow: bool,
    dtype: torch.dtype = torch.float32,
    form: Form | None = None,
) -> Tensor:
    """Read y of all chunks, where they find `heads` if there are any; fill `weight`. From the end, v̄ of ȳ."""
    (B, H, T, V), K = v.shape, q.shape[3]
    form = form or Form(stages=1)
    y = torch.empty(B, T, H, V, device=v.device, dtype=dtype).transpose(1, 2)
    read_kernel[(-(-V // form.columns), sums.shape[2], B * H)](
        q, k, v, sums, strength, skip, heads, y, weight,
        *q.stride(), *k.stride(), *v.stride(), *strides_of(strength, 3), *y.stride()[:3], T, H, K, V,
        0 if heads is None else heads.shape[3],
        SHARED=q.shape[1] < H, C=CHUNK, BK=64, BV=form.columns, EXACT=not narrow, BACKWARDS=backwards,
        num_warps=form.warps, num_stages=form.stages,
    )  # fmt: skip
    return y


def _totals(sums: Tensor, per_segment: int, J: int, backwards: bool) -> Tensor:
    """Sums of ln a over each segment, in the order in which they are walked."""
    totals = sums[:, :, :, :, -1].sum(-1, dtype=torch.float64)
    totals = totals.flip(2) if backwards else totals
    totals = torch.nn.functional.pad(totals, (0, J * per_segment - totals.shape[2]))
    return totals.view(*totals.shape[:2], J, per_segment).sum(-1).float()


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
    first = None if memory_BHKV is None else memory_BHKV.flatten(2)
    inputs = (q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, first, strength_BHT, skip_H)
    y_BHTV, _, last, _, _ = _remember(*inputs, False, _differentiable(inputs))
    return y_BHTV, None if memory_BHKV is None else last.view(memory_BHKV.shape)


def remember_weighed(
    q_BGTK: Tensor,
    k_BGTK: Tensor,
    v_BHTV: Tensor,
    log_decay_BHT: Tensor,
    memory_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute what growlab.blocks.decaying_memory.remember_weighed does."""
    first = None if memory_BHKV is None else torch.cat((memory_BHKV[..., :-1].flatten(2), memory_BHKV[..., -1]), -1)
    inputs = (q_BGTK, k_BGTK, v_BHTV, log_decay_BHT, first, None, None)
    y_BHTV, weight_BHT, last, _, _ = _remember(*inputs, True, _differentiable(inputs))
    if memory_BHKV is None:
        return y_BHTV, weight_BHT, None
    K, V = q_BGTK.shape[3], v_BHTV.shape[3]
    return y_BHTV, weight_BHT, torch.cat((last[..., : K * V].unflatten(2, (K, V)), last[..., K * V :, None]), -1)


def _differentiable(inputs: tuple[Tensor | None, ...]) -> bool:
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in inputs)


@library.custom_op("growlab::remember", mutates_args=())
def _remember(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    weighed: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What is read, weights, the last memory; memories that chunks find, sums; of no numbers where nobody asks."""
    sums = sums_of(log_decay)
    weight = log_decay.new_empty(v.shape[:3]) if weighed else None
    narrow = _narrow(q, k, v)
    first = None if memory is None else memory.contiguous()
    heads, last = walk(k, v, sums, strength, first, weight=weight, last=memory is not None, narrow=narrow)
    y = read(q, k, v, sums, strength, skip, heads, weight=weight, narrow=narrow)
    none = sums.new_empty
    weight, last = (none(0) if tensor is None else tensor for tensor in (weight, last))
    return y, weight, last, heads if keep else none(0), sums if keep else none(0)


def _narrow(*tokens: Tensor) -> bool:
    return any(tensor.dtype == torch.bfloat16 for tensor in tokens)


@_remember.register_fake
def _empty_remember(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    weighed: bool,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    (B, H, T, V), K, N, empty = v.shape, q.shape[3], -(-v.shape[2] // CHUNK), log_decay.new_empty
    size = K * (V + int(weighed))
    y, weight = empty(B, T, H, V).transpose(1, 2), empty(B, H, T) if weighed else empty(0)
    last = empty(0) if memory is None else empty(B, H, size)
    heads, sums = (empty(B, H, N, size), empty(B, H, N, 2, CHUNK)) if keep else (empty(0), empty(0))
    return y, weight, last, heads, sums


@library.custom_op("growlab::remember_backward", mutates_args=())
def _remember_backward(
    y_grad: Tensor,
    weight_grad: Tensor | None,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    sums: Tensor,
) -> list[Tensor]:
    """Gradients of q, k, v, ln a, of the first memory, of b and d; of no numbers where there are none."""
    weight_grad, last_grad = (None if grad is None else grad.contiguous() for grad in (weight_grad, last_grad))
    q_grad, k_grad, v_grad, decay_grad, strength_grad, skip_grad, first_grad = backward(
        q, k, v, sums, strength, skip, heads, y_grad, weight_grad, last_grad,
        to_first=memory is not None, narrow=_narrow(q, k, v),
    )  # fmt: skip
    others = (sums.new_empty(0) if grad is None else grad for grad in (first_grad, strength_grad, skip_grad))
    return [q_grad, k_grad, v_grad, decay_grad, *others]


def by_token(like: Tensor) -> Tensor:
    """A new tensor (B, H, T, E) in which tokens lie one after the other, each with all of its heads."""
    B, H, T, E = like.shape
    return like.new_empty(B, T, H, E).transpose(1, 2)


@_remember_backward.register_fake
def _empty_remember_backward(
    y_grad: Tensor,
    weight_grad: Tensor | None,
    last_grad: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    memory: Tensor | None,
    strength: Tensor | None,
    skip: Tensor | None,
    heads: Tensor,
    sums: Tensor,
) -> list[Tensor]:
    shared = q.shape[1] < v.shape[1]
    grads = [like.new_empty(like.shape) if shared else by_token(like) for like in (q, k)]
    others = (sums.new_empty(0) if of is None else of.new_empty(of.shape) for of in (memory, strength, skip))
    return [*grads, by_token(v), sums.new_empty(v.shape[:3]), *others]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, _, *others, weighed, _ = inputs
    ctx.save_for_backward(q, k, v, *others, *output[3:])
    ctx.weighed = weighed
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, y_grad: Tensor | None, weight_grad: Tensor | None, last_grad: Tensor | None, *_: None
) -> tuple[Tensor | None, ...]:
    q, k, v, memory, strength, skip, heads, sums = ctx.saved_tensors
    y_grad = sums.new_zeros(v.shape) if y_grad is None else y_grad
    if ctx.weighed and weight_grad is None:
        weight_grad = sums.new_zeros(v.shape[:3])
    weight_grad, last_grad = weight_grad if ctx.weighed else None, None if memory is None else last_grad
    grads = _remember_backward(y_grad, weight_grad, last_grad, q, k, v, memory, strength, skip, heads, sums)
    optional = [None if of is None else grad for of, grad in zip((memory, strength, skip), grads[4:], strict=True)]
    return *grads[:4], *optional, None, None


_remember.register_autograd(_backward, setup_context=_keep)
