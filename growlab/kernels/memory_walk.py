"""Both ways through a matrix memory: along its chunks, one after another, and into all of them at once.

From the end the walk finds what each chunk's memory receives of gradients, and reading finds v̄, with q and k exchanged
and ȳ for v. growlab.kernels.decaying_memory says what is computed.

Legend: B batch, H heads, T tokens, K entries of a key, V of a value, C tokens of a chunk, N chunks, J segments.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from growlab.kernels.memory_chunk import CHUNK, Form, decays, decays_to_ends, product, strides_of, tile


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


# ---- how they are run ------------------------------------------------------------------------------------------------


def width(K: int) -> int:
    """Columns of a tile: Triton's products on Hopper are wrong, or read beyond it, where a tile has 16 or 32."""
    return max(64, 1 << (K - 1).bit_length())


def n_segments(n_programs: int, n_chunks: int) -> int:
    """Segments of a text, where whole texts make so many programs."""
    return max(1, min(512 // n_programs, n_chunks // 4))


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
