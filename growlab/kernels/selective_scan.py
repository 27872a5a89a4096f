"""The selective scan of growlab.blocks.selective_scan on a GPU: parallel over sequences, channels and chunks of tokens.

Each pass goes over the tokens twice. The first time every chunk is scanned as if nothing came before it, and keeps
what it ends with; then one walk over the chunks hands the states on; the second time every chunk starts from the
state at its head and writes what is asked for. Backwards likewise, with the adjoint of the state (see there) from the
last chunk to the first: the states within a chunk are computed again and live in registers.

A program has one warp, some channels and one chunk; a loop over the N states holds one state at a time. Nothing is
added up by atomics: gradients of b and c are sums over the programs' channels, that of a over sequences and chunks, all
in a fixed order.

Legend: B sequences, T tokens, E channels, N states of a channel, K chunks of L tokens, P blocks of W channels.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, library

CHUNK = 16  # tokens
WIDTH = 64  # channels of a program
LOG2_E = tl.constexpr(1.4426950408889634)
AHEAD = tl.constexpr(8)  # chunks whose states are loaded at once
FINITE = tl.constexpr(-3e38)  # the least rate: 0 · -inf would be NaN


def selective_scan(
    u_BTE: Float[Tensor, "B T E"],
    dt_BTE: Float[Tensor, "B T E"],
    a_NE: Float[Tensor, "N E"],
    b_BTN: Float[Tensor, "B T N"],
    c_BTN: Float[Tensor, "B T N"],
    h_BNE: Float[Tensor, "B N E"],
) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B N E"]]:
    """Scan as growlab.blocks.selective_scan does; fp32 alone, same bits each time."""
    T = u_BTE.shape[1]
    if missing := -T % CHUNK:  # without time and without input a state stays as it is
        u_BTE, dt_BTE, b_BTN, c_BTN = (F.pad(tensor, (0, 0, 0, missing)) for tensor in (u_BTE, dt_BTE, b_BTN, c_BTN))
    y_BTE, last_BNE, _ = _scan(u_BTE, dt_BTE, a_NE, b_BTN, c_BTN, h_BNE)
    return y_BTE[:, :T], last_BNE


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::selective_scan_kernel", mutates_args=())
def _scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scan forwards: y (B, T, E), the last state (B, N, E), the states at the heads of chunks (B, K, N, E)."""
    u, dt, a, b, c, h = (tensor.contiguous() for tensor in (u, dt, a, b, c, h))
    y, last, heads = _empty_scan(u, dt, a, b, c, h)
    sizes = (*u.shape[1:], len(a))
    sums = u.new_empty(heads.shape[0], heads.shape[1], u.shape[2])
    _ends[_programs(u)](u, dt, a, b, heads, sums, *sizes, CHUNK, WIDTH, num_warps=1)
    _hand_on(heads, sums, a, h, last, reverse=False)
    _outputs[_programs(u)](u, dt, a, b, c, heads, y, *sizes, CHUNK, WIDTH, num_warps=1)
    return y, last, heads


@_scan.register_fake
def _empty_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    B, T, E = u.shape
    return u.new_empty(B, T, E), u.new_empty(h.shape), u.new_empty(B, T // CHUNK, len(a), E)


@library.custom_op("growlab::selective_scan_kernel_backward", mutates_args=())
def _scan_backward(
    y_grad: Tensor, last_grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, heads: Tensor
) -> list[Tensor]:
    """Gradients of u, dt, a, b, c and of the state before the first token."""
    y_grad, last_grad, u, dt, a, b, c = (tensor.contiguous() for tensor in (y_grad, last_grad, u, dt, a, b, c))
    (B, T, E), N, K = u.shape, len(a), heads.shape[1]
    P = triton.cdiv(E, WIDTH)
    tails, sums, h_grad = torch.empty_like(heads), u.new_empty(B, K, E), torch.empty_like(last_grad)
    _adjoints[_programs(u)](dt, a, c, y_grad, tails, sums, T, E, N, CHUNK, WIDTH, num_warps=1)
    _hand_on(tails, sums, a, last_grad, h_grad, reverse=True)
    u_grad, dt_grad, a_grads = torch.empty_like(u), torch.empty_like(dt), torch.empty_like(heads)
    b_grads, c_grads = b.new_empty(P, B, T, N), c.new_empty(P, B, T, N)
    _gradients[_programs(u)](
        u, dt, a, b, c, heads, tails, y_grad, u_grad, dt_grad, a_grads, b_grads, c_grads, T, E, B, N, CHUNK, WIDTH,
        num_warps=1,
    )  # fmt: skip
    return [u_grad, dt_grad, a_grads.sum((0, 1)), b_grads.sum(0), c_grads.sum(0), h_grad]


@_scan_backward.register_fake
def _empty_grads(
    y_grad: Tensor, last_grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, heads: Tensor
) -> list[Tensor]:
    return [u.new_empty(tensor.shape) for tensor in (u, dt, a, b, c, last_grad)]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.set_materialize_grads(False)  # else there would be zeros for the heads, which have no gradient


def _backward(ctx: Any, y_grad: Tensor | None, last_grad: Tensor | None, _: None) -> tuple[Tensor, ...]:
    u, *_, heads = kept = ctx.saved_tensors
    y_grad = torch.zeros_like(u) if y_grad is None else y_grad
    last_grad = torch.zeros_like(heads[:, 0]) if last_grad is None else last_grad
    return tuple(_scan_backward(y_grad, last_grad, *kept))


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
def _ends(u, dt, a, b, ends, sums, T, E, N: tl.constexpr, L: tl.constexpr, W: tl.constexpr):
    """The state after each chunk that starts from zero, and the sum of dt over it."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E, E, e, inside, L)
    x_L = _products(dt_L, _load_rows(u + row * E, E, e, inside, L))
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
            h = tl.exp2(sum_A[i] * rate) * h + end_A[i]
    tl.store(last + at.to(tl.int64) * E + e, h, mask=inside)


@triton.jit(do_not_specialize=["T"])
def _outputs(u, dt, a, b, c, heads, y, T, E, N: tl.constexpr, L: tl.constexpr, W: tl.constexpr):
    """y of each chunk, from the state at its head."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E, E, e, inside, L)
    x_L = _products(dt_L, _load_rows(u + row * E, E, e, inside, L))
    y_L = _zeros(L, W)
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        b_L = _load_column(b + row * N + n, N, L)
        c_L = _load_column(c + row * N + n, N, L)
        h = tl.load(heads + (chunk * N + n) * E + e, mask=inside, other=0.0)
        sum_L = ()
        for t in tl.static_range(L):
            h = tl.fma(tl.exp2(dt_L[t] * rate), h, b_L[t] * x_L[t])
            sum_L = sum_L + (y_L[t] + c_L[t] * h,)
        y_L = sum_L
    _store_rows(y + row * E, y_L, E, e, inside, L)


@triton.jit(do_not_specialize=["T"])
def _adjoints(dt, a, c, y_grad, ends, sums, T, E, N: tl.constexpr, L: tl.constexpr, W: tl.constexpr):
    """What the token before each chunk receives of the state's adjoint, if nothing comes after it; the sum of dt."""
    row, chunk, _, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E, E, e, inside, L)
    y_grad_L = _load_rows(y_grad + row * E, E, e, inside, L)
    tl.store(sums + chunk * E + e, _sum(dt_L), mask=inside)
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        c_L = _load_column(c + row * N + n, N, L)
        carry = tl.zeros([W], tl.float32)
        for t in tl.static_range(L - 1, -1, -1):
            carry = tl.exp2(dt_L[t] * rate) * (c_L[t] * y_grad_L[t] + carry)
        tl.store(ends + (chunk * N + n) * E + e, carry, mask=inside)


@triton.jit(do_not_specialize=["T", "B"])
def _gradients(
    u, dt, a, b, c, heads, tails, y_grad, u_grad, dt_grad, a_grads, b_grads, c_grads, T, E, B,
    N: tl.constexpr, L: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    """All gradients of each chunk, from the state at its head and the adjoint behind its end."""
    row, chunk, p, e, inside = _place(T, E, L, W)
    dt_L = _load_rows(dt + row * E, E, e, inside, L)
    x_L = _products(dt_L, _load_rows(u + row * E, E, e, inside, L))
    y_grad_L = _load_rows(y_grad + row * E, E, e, inside, L)
    x_grad_L, dt_grad_L = _zeros(L, W), _zeros(L, W)
    part = (p * B * T + row) * N
    for n in range(N):
        rate = _rate(a + n * E + e, inside)
        b_L = _load_column(b + row * N + n, N, L)
        c_L = _load_column(c + row * N + n, N, L)
        h = tl.load(heads + (chunk * N + n) * E + e, mask=inside, other=0.0)
        carry = tl.load(tails + (chunk * N + n) * E + e, mask=inside, other=0.0)
        decay_L, before_L = (), ()
        for t in tl.static_range(L):
            decay = tl.exp2(dt_L[t] * rate)
            decay_L = decay_L + (decay,)
            before_L = before_L + (h,)
            h = tl.fma(decay, h, b_L[t] * x_L[t])
            tl.store(c_grads + part + t * N + n, tl.sum(y_grad_L[t] * h))
        x_sum_L, dt_sum_L = (), ()
        a_grad = tl.zeros([W], tl.float32)
        for t in tl.static_range(L - 1, -1, -1):
            g = c_L[t] * y_grad_L[t] + carry
            carry = decay_L[t] * g
            q = carry * before_L[t]
            a_grad += dt_L[t] * q
            x_sum_L = (x_grad_L[t] + b_L[t] * g,) + x_sum_L
            dt_sum_L = (dt_grad_L[t] + rate * q,) + dt_sum_L
            tl.store(b_grads + part + t * N + n, tl.sum(x_L[t] * g))
        x_grad_L, dt_grad_L = x_sum_L, dt_sum_L
        tl.store(a_grads + (chunk * N + n) * E + e, a_grad, mask=inside)
    u_L = _load_rows(u + row * E, E, e, inside, L)  # again: kept from before they would fill registers all along
    for t in tl.static_range(L):
        tl.store(u_grad + row * E + t * E + e, x_grad_L[t] * dt_L[t], mask=inside)
        tl.store(dt_grad + row * E + t * E + e, dt_grad_L[t] / LOG2_E + x_grad_L[t] * u_L[t], mask=inside)


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
def _load_rows(first, E, e, inside, L: tl.constexpr):
    """The channels of L tokens."""
    rows = ()
    for t in tl.static_range(L):
        rows = rows + (tl.load(first + t * E + e, mask=inside, other=0.0),)
    return rows


@triton.jit
def _store_rows(first, rows, E, e, inside, L: tl.constexpr):
    for t in tl.static_range(L):
        tl.store(first + t * E + e, rows[t], mask=inside)


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
