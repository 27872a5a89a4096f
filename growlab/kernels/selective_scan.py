"""The gated selective scan of growlab.blocks.selective_scan on a GPU, in parallel over sequences, channels and chunks.

Each pass goes over the tokens twice. The first time every chunk of tokens is scanned as if nothing came before it, and
keeps what it ends with; then one walk over the chunks hands the states on; the second time every chunk starts from the
state at its head and writes what is asked for. Backwards likewise, with the adjoint of the state (see there) from the
last chunk to the first: the states within a chunk are computed again and live in registers.

A program has one warp, some channels and one chunk; a loop over the N states holds one state at a time. Nothing is
added up by atomics: gradients of b and c are sums over the programs' channels, those of a and of the skip over
sequences and chunks, all in a fixed order. u, z and what is returned may be in bf16; all else, and all that is
computed, is in fp32.

Legend: B sequences, T tokens, E channels, N states of a channel, K chunks of L tokens, P blocks of W channels.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, library

from growlab.kernels.rows import evenly_spaced

CHUNK = 16  # tokens
PART = 8  # tokens of a chunk whose states are in registers together, backwards
WIDTH = 64  # channels of a program
REGISTERS = 168  # of a thread, backwards: three warps then share a scheduler
LOG2_E = tl.constexpr(1.4426950408889634)
AHEAD = tl.constexpr(8)  # chunks whose states are loaded at once
FINITE = tl.constexpr(-3e38)  # the least rate: 0 · -inf would be NaN
NO_TIME = -1e4  # softplus makes 0 of it


def gated_scan(
    u_BTE: Float[Tensor, "B T E"],
    delta_BTE: Float[Tensor, "B T E"],
    z_BTE: Float[Tensor, "B T E"],
    a_NE: Float[Tensor, "N E"],
    b_BTN: Float[Tensor, "B T N"],
    c_BTN: Float[Tensor, "B T N"],
    skip_E: Float[Tensor, " E"],
    h_BNE: Float[Tensor, "B N E"],
) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B N E"]]:
    """Scan as growlab.blocks.selective_scan does; the same bits each time."""
    T = u_BTE.shape[1]
    if missing := -T % CHUNK:  # without time a state stays as it is
        u_BTE, z_BTE, b_BTN, c_BTN = (F.pad(tensor, (0, 0, 0, missing)) for tensor in (u_BTE, z_BTE, b_BTN, c_BTN))
        delta_BTE = F.pad(delta_BTE, (0, 0, 0, missing), value=NO_TIME)
    out_BTE, last_BNE, *_ = _scan(u_BTE, delta_BTE, z_BTE, a_NE, b_BTN, c_BTN, skip_E, h_BNE)
    return out_BTE[:, :T], last_BNE


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::gated_scan_kernel", mutates_args=())
def _scan(
    u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Scan forwards: what is asked for (B, T, E), the last state (B, N, E), and what the backward pass needs.

    That is Δ and y before the gate (B, T, E), and the states at the heads of the chunks' parts (parts, B, K, N, E).
    """
    u, delta, a, b, c, skip, h = (tensor.contiguous() for tensor in (u, delta, a, b, c, skip, h))
    z = evenly_spaced(z)
    out, last, dt, y, heads = _empty_scan(u, delta, z, a, b, c, skip, h)
    (B, T, E), N = u.shape, len(a)
    sums = delta.new_empty(*heads.shape[1:3], E)
    _ends[_programs(u)](u, delta, a, b, dt, heads, sums, T, E, N, CHUNK, WIDTH, num_warps=1)
    _hand_on(heads[0], sums, a, h, last, reverse=False)
    _outputs[_programs(u)](
        u, dt, z, a, b, c, skip, heads, y, out, T, E, B, z.stride(1), N, CHUNK, PART, WIDTH, num_warps=1
    )  # fmt: skip
    return out, last, dt, y, heads


@_scan.register_fake
def _empty_scan(
    u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, h: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    B, T, E = u.shape
    dt, y = h.new_empty(B, T, E), h.new_empty(B, T, E)
    heads = h.new_empty(CHUNK // PART, B, T // CHUNK, len(a), E)
    return z.new_empty(B, T, E), h.new_empty(h.shape), dt, y, heads


@library.custom_op("growlab::gated_scan_kernel_backward", mutates_args=())
def _scan_backward(
    grad: Tensor, last_grad: Tensor, u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor,
    skip: Tensor, dt: Tensor, y: Tensor, heads: Tensor,
) -> list[Tensor]:  # fmt: skip
    """Gradients of u, delta, z, a, b, c, the skip and of the state before the first token."""
    grad, last_grad, u, delta, a, b, c, skip = (
        tensor.contiguous() for tensor in (grad, last_grad, u, delta, a, b, c, skip)
    )
    z = evenly_spaced(z)
    (B, T, E), (_, _, K, N, _), P = u.shape, heads.shape, triton.cdiv(u.shape[2], WIDTH)
    tails, sums, h_grad = heads.new_empty(B, K, N, E), heads.new_empty(B, K, E), torch.empty_like(last_grad)
    y_grad, z_grad = torch.empty_like(y), z.new_empty(B, T, E)
    _adjoints[_programs(u)](
        dt, z, a, c, y, grad, y_grad, z_grad, tails, sums, T, E, z.stride(1), N, CHUNK, WIDTH, num_warps=1
    )
    _hand_on(tails, sums, a, last_grad, h_grad, reverse=True)
    u_grad, delta_grad = torch.empty_like(u), torch.empty_like(delta)
    a_grads, skip_grads = torch.empty_like(tails), torch.empty_like(sums)
    b_grads, c_grads = b.new_empty(P, B, T, N), c.new_empty(P, B, T, N)
    _gradients[_programs(u)](
        u, delta, dt, a, b, c, skip, heads, tails, y_grad, u_grad, delta_grad, a_grads, b_grads, c_grads, skip_grads,
        T, E, B, N, CHUNK, PART, WIDTH, num_warps=1, maxnreg=REGISTERS,
    )  # fmt: skip
    a_grad, skip_grad = a_grads.sum((0, 1)), skip_grads.sum((0, 1))
    return [u_grad, delta_grad, z_grad, a_grad, b_grads.sum(0), c_grads.sum(0), skip_grad, h_grad]


@_scan_backward.register_fake
def _empty_grads(
    grad: Tensor, last_grad: Tensor, u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor,
    skip: Tensor, dt: Tensor, y: Tensor, heads: Tensor,
) -> list[Tensor]:  # fmt: skip
    return [tensor.new_empty(tensor.shape) for tensor in (u, delta, z, a, b, c, skip, last_grad)]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:7], *output[2:])
    ctx.set_materialize_grads(False)  # else there would be zeros for what is kept, which has no gradient


def _backward(ctx: Any, grad: Tensor | None, last_grad: Tensor | None, *_: None) -> tuple[Tensor, ...]:
    z, heads = ctx.saved_tensors[2], ctx.saved_tensors[-1]
    grad = z.new_zeros(z.shape) if grad is None else grad
    last_grad = torch.zeros_like(heads[0, :, 0]) if last_grad is None else last_grad
    return tuple(_scan_backward(grad, last_grad, *ctx.saved_tensors))


_scan.register_autograd(_backward, setup_context=_keep)


def _programs(u_BTE: Tensor) -> tuple[int]:
    B, T, E = u_BTE.shape
    return (B * (T // CHUNK) * triton.cdiv(E, WIDTH),)


def _hand_on(ends: Tensor, sums: Tensor, a: Tensor, first: Tensor, last: Tensor, *, reverse: bool) -> None:
    """Put into each chunk's place in `ends`, of states that start from zero, the state that it starts from."""
    B, K, N, E = ends.shape
    grid = (B * N * triton.cdiv(E, 128),)
    _walk[grid](ends, sums, a, first, last, K, E, N, reverse, 128, num_warps=4)


# ---- kernels -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["T"])
def _ends(u, delta, a, b, dt, ends, sums, T, E, N: tl.constexpr, L: tl.constexpr, W: tl.constexpr):
    """Δ; the state after each chunk that starts from zero, and the time that it takes."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = ()
    for t in tl.static_range(L):
        time = _softplus(tl.load(delta + (row + t) * E + e, mask=inside, other=0.0))
        tl.store(dt + (row + t) * E + e, time, mask=inside)
        dt_L = dt_L + (time,)
    x_L = _products(dt_L, _load_rows(u + row * E + e, E, inside, L))
    tl.store(sums + chunk * E + e, _sum(dt_L), mask=inside)
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        b_L = _load_column(b + row * N + n, N, L)
        h = tl.zeros([W], tl.float32)
        for t in tl.static_range(L):
            h = tl.fma(tl.exp2(dt_L[t] * rate), h, b_L[t] * x_L[t])
        tl.store(ends + (chunk * N + n) * E + e, h, mask=inside)


@triton.jit(do_not_specialize=["K"])
def _walk(ends, sums, a, first, last, K, E, N: tl.constexpr, REVERSE: tl.constexpr, W: tl.constexpr):
    """Walk over the chunks of one sequence and one state: what a chunk ends with is what the next one starts from."""
    blocks = tl.cdiv(E, W)
    at = tl.program_id(0) // blocks
    b, n = at // N, at % N
    e = tl.program_id(0) % blocks * W + tl.arange(0, W)
    inside = e < E
    rate = _rate(a + n * E + e, inside)
    h = tl.load(first + at.to(tl.int64) * E + e, mask=inside, other=0.0)
    for start in range(0, K, AHEAD):
        end_A, sum_A = (), ()
        for i in tl.static_range(AHEAD):
            chunk = b.to(tl.int64) * K + (K - 1 - start - i if REVERSE else start + i)
            there = e < tl.where(start + i < K, E, 0)
            end_A = end_A + (tl.load(ends + (chunk * N + n) * E + e, mask=there, other=0.0),)
            sum_A = sum_A + (tl.load(sums + chunk * E + e, mask=there, other=0.0),)
        for i in tl.static_range(AHEAD):
            chunk = b.to(tl.int64) * K + (K - 1 - start - i if REVERSE else start + i)
            tl.store(ends + (chunk * N + n) * E + e, h, mask=e < tl.where(start + i < K, E, 0))
            h = tl.fma(tl.exp2(sum_A[i] * rate), h, end_A[i])
    tl.store(last + at.to(tl.int64) * E + e, h, mask=inside)


@triton.jit(do_not_specialize=["T", "B"])
def _outputs(
    u, dt, z, a, b, c, skip, heads, y, out, T, E, B, z_stride,
    N: tl.constexpr, L: tl.constexpr, M: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """y of each chunk from the state at its head, and behind its gate; the states at the heads of its later parts."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E + e, E, inside, L)
    u_L = _load_rows(u + row * E + e, E, inside, L)
    x_L = _products(dt_L, u_L)
    past = tl.load(skip + e, mask=inside, other=0.0)
    y_L = ()
    for t in tl.static_range(L):
        y_L = y_L + (past * u_L[t],)
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        b_L = _load_column(b + row * N + n, N, L)
        c_L = _load_column(c + row * N + n, N, L)
        h = tl.load(heads + (chunk * N + n) * E + e, mask=inside, other=0.0)
        sum_L = ()
        for t in tl.static_range(L):
            h = tl.fma(tl.exp2(dt_L[t] * rate), h, b_L[t] * x_L[t])
            sum_L = sum_L + (y_L[t] + c_L[t] * h,)
            if t + 1 < L and (t + 1) % M == 0:
                part = (t + 1) // M * B.to(tl.int64) * (T // L)
                tl.store(heads + ((part + chunk) * N + n) * E + e, h, mask=inside)
        y_L = sum_L
    for t in tl.static_range(L):
        at = (row + t) * E + e
        gate = tl.load(z + (row + t) * z_stride + e, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + at, y_L[t], mask=inside)
        tl.store(out + at, (y_L[t] * gate * tl.sigmoid(gate)).to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["T"])
def _adjoints(
    dt, z, a, c, y, grad, y_grad, z_grad, ends, sums, T, E, z_stride,
    N: tl.constexpr, L: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """Gradients of y and its gate; what the token before each chunk receives of the adjoint from that chunk alone."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E + e, E, inside, L)
    y_grad_L = ()
    for t in tl.static_range(L):
        at = (row + t) * E + e
        gate = tl.load(z + (row + t) * z_stride + e, mask=inside, other=0.0).to(tl.float32)
        out_grad = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        share = tl.sigmoid(gate)
        slope = share * (1 + gate * (1 - share))
        gate_grad = out_grad * slope * tl.load(y + at, mask=inside, other=0.0)
        tl.store(z_grad + at, gate_grad.to(z_grad.dtype.element_ty), mask=inside)
        y_grad_L = y_grad_L + (out_grad * gate * share,)
        tl.store(y_grad + at, y_grad_L[t], mask=inside)
    tl.store(sums + chunk * E + e, _sum(dt_L), mask=inside)
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        c_L = _load_column(c + row * N + n, N, L)
        carry = tl.zeros([W], tl.float32)
        for t in tl.static_range(L - 1, -1, -1):
            carry = tl.exp2(dt_L[t] * rate) * tl.fma(c_L[t], y_grad_L[t], carry)
        tl.store(ends + (chunk * N + n) * E + e, carry, mask=inside)


@triton.jit(do_not_specialize=["T", "B"])
def _gradients(
    u, delta, dt, a, b, c, skip, heads, tails, y_grad, u_grad, delta_grad, a_grads, b_grads, c_grads, skip_grads,
    T, E, B, N: tl.constexpr, L: tl.constexpr, M: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """All gradients of each chunk, part by part from its end; the adjoint waits for the next part in `tails`."""
    first, chunk, p, e, inside = _place(T, E, L, W)
    past = tl.load(skip + e, mask=inside, other=0.0)
    skip_grad = tl.zeros([W], tl.float32)
    for i in range(L // M):
        part = L // M - 1 - i
        row = first + part * M
        before = (part * B.to(tl.int64) * (T // L) + chunk) * N
        dt_M = _load_rows(dt + row * E + e, E, inside, M)
        x_M = _products(dt_M, _load_rows(u + row * E + e, E, inside, M))
        y_grad_M = _load_rows(y_grad + row * E + e, E, inside, M)
        x_grad_M, dt_grad_M = _zeros(M, W), _zeros(M, W)
        sums = (p * B * T + row) * N
        for n in range(N):
            rate = _rate(a + n * E + e, inside)
            b_M = _load_column(b + row * N + n, N, M)
            c_M = _load_column(c + row * N + n, N, M)
            state = (chunk * N + n) * E + e
            h = tl.load(heads + (before + n) * E + e, mask=inside, other=0.0)
            carry = tl.load(tails + state, mask=inside, other=0.0)
            a_grad = tl.load(a_grads + state, mask=e < tl.where(i > 0, E, 0), other=0.0)
            decay_M, before_M = (), ()
            for t in tl.static_range(M):
                decay = tl.exp2(dt_M[t] * rate)
                decay_M = decay_M + (decay,)
                before_M = before_M + (h,)
                h = tl.fma(decay, h, b_M[t] * x_M[t])
                tl.store(c_grads + sums + t * N + n, tl.sum(y_grad_M[t] * h))
            x_sum_M, dt_sum_M = (), ()
            for t in tl.static_range(M - 1, -1, -1):
                g = tl.fma(c_M[t], y_grad_M[t], carry)
                carry = decay_M[t] * g
                q = carry * before_M[t]
                a_grad += dt_M[t] * q
                x_sum_M = (x_grad_M[t] + b_M[t] * g,) + x_sum_M
                dt_sum_M = (dt_grad_M[t] + rate * q,) + dt_sum_M
                tl.store(b_grads + sums + t * N + n, tl.sum(x_M[t] * g))
            x_grad_M, dt_grad_M = x_sum_M, dt_sum_M
            tl.store(tails + state, carry, mask=inside)
            tl.store(a_grads + state, a_grad, mask=inside)
        for t in tl.static_range(M):  # what is loaded here again would have filled registers all along
            at = (row + t) * E + e
            u_t = tl.load(u + at, mask=inside, other=0.0).to(tl.float32)
            skip_grad += y_grad_M[t] * u_t
            u_total = x_grad_M[t] * dt_M[t] + past * y_grad_M[t]
            tl.store(u_grad + at, u_total.to(u_grad.dtype.element_ty), mask=inside)
            dt_total = dt_grad_M[t] / LOG2_E + x_grad_M[t] * u_t
            tl.store(delta_grad + at, dt_total * _slope(tl.load(delta + at, mask=inside, other=0.0)), mask=inside)
    tl.store(skip_grads + chunk * E + e, skip_grad, mask=inside)


# ---- what they share -----------------------------------------------------------------------------------------------


@triton.jit
def _place(T, E, L: tl.constexpr, W: tl.constexpr):
    """Of a program: its first token among those of all sequences, its chunk likewise, block, channels."""
    blocks, chunks = tl.cdiv(E, W), T // L
    p, at = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    b, k = (at // chunks).to(tl.int64), at % chunks
    e = p * W + tl.arange(0, W)
    return b * T + k * L, b * chunks + k, p.to(tl.int64), e, e < E


@triton.jit
def _rate(pointers, inside):
    """Rates per token as exponents of 2."""
    return tl.maximum(tl.load(pointers, mask=inside, other=0.0) * LOG2_E, FINITE)


@triton.jit
def _load_rows(first, stride, inside, L: tl.constexpr):
    """The channels of L tokens, in fp32."""
    rows = ()
    for t in tl.static_range(L):
        rows = rows + (tl.load(first + t * stride, mask=inside, other=0.0).to(tl.float32),)
    return rows


@triton.jit
def _softplus(delta):
    """ln(1 + e^delta), as exact as log1p makes it: of w in (0, 1], ln(1 + w) is 2 artanh(w / (2 + w))."""
    w = tl.exp2(-tl.abs(delta) * LOG2_E)
    s = w / (2 + w)
    r = s * s
    series = 1 / 15 + r * (1 / 17)
    series = 1 / 11 + r * (1 / 13 + r * series)
    series = 1 / 7 + r * (1 / 9 + r * series)
    series = 1 + r * (1 / 3 + r * (1 / 5 + r * series))
    return tl.maximum(delta, 0.0) + 2 * s * series


@triton.jit
def _slope(delta):
    """The derivative of softplus, without an exponent that is positive."""
    w = tl.exp2(-tl.abs(delta) * LOG2_E)
    return tl.where(delta > 0, 1.0, w) / (1 + w)


@triton.jit
def _load_column(first, N: tl.constexpr, L: tl.constexpr):
    """One number of each of L tokens."""
    column = ()
    for t in tl.static_range(L):
        column = column + (tl.load(first + t * N),)
    return column


@triton.jit
def _products(x_L, y_L):
    products = ()
    for t in tl.static_range(len(x_L)):
        products = products + (x_L[t] * y_L[t],)
    return products


@triton.jit
def _sum(x_L):
    total = x_L[0]
    for t in tl.static_range(1, len(x_L)):
        total += x_L[t]
    return total


@triton.jit
def _zeros(L: tl.constexpr, W: tl.constexpr):
    zeros = ()
    for _ in tl.static_range(L):
        zeros = zeros + (tl.zeros([W], tl.float32),)
    return zeros
