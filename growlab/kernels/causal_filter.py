"""The short causal filter of growlab.blocks.causal_filter on a GPU: one pass forwards, one backwards, no transposing.

A program holds some tokens of some channels in registers, with the tokens before them that it sees, and backwards also
those behind that see it. What the filter gives is rounded once, after its activation. Gradients of the weights are sums
over programs, in a fixed order.

Legend: B sequences, T tokens, E channels, K tokens that the filter sees, S = K - 1 of them past, L tokens of a program,
W channels of it, P programs of a block of channels.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, library

from growlab.kernels.rows import evenly_spaced

TOKENS, WIDTH = 16, 64  # of a program


def causal_filter(
    x_BTE: Float[Tensor, "B T E"],
    past_BES: Float[Tensor, "B E S"],
    weight_E1K: Float[Tensor, "E 1 K"],
    bias_E: Float[Tensor, " E"],
    silu: bool,
) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B E S"]]:
    """Filter as growlab.blocks.causal_filter does: in fp32, with outputs of x's dtype; return the next past too."""
    S = past_BES.shape[2]
    past_of_next_BES = torch.cat((past_BES, x_BTE[:, max(x_BTE.shape[1] - S, 0) :].transpose(1, 2)), dim=2)
    past_of_next_BES = past_of_next_BES[:, :, past_of_next_BES.shape[2] - S :]
    y_BTE: Tensor = _filter(x_BTE, past_BES, weight_E1K[:, 0], bias_E, silu)
    return y_BTE, past_of_next_BES


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::causal_filter_kernel", mutates_args=())
def _filter(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> Tensor:
    x, past, weight, bias = evenly_spaced(x), past.contiguous(), weight.contiguous(), bias.contiguous()
    y = x.new_empty(x.shape)
    (_, T, E), K = x.shape, weight.shape[1]
    _filtered[_programs(x)](x, past, weight, bias, y, T, E, x.stride(1), silu, K, TOKENS, WIDTH, num_warps=1)
    return y


@_filter.register_fake
def _empty_filtered(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> Tensor:
    return x.new_empty(x.shape)


@library.custom_op("growlab::causal_filter_kernel_backward", mutates_args=())
def _filter_backward(y_grad: Tensor, x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> list[Tensor]:
    """Gradients of x, past, weight and bias."""
    y_grad, past, weight, bias = (tensor.contiguous() for tensor in (y_grad, past, weight, bias))
    x = evenly_spaced(x)
    (B, T, E), K = x.shape, weight.shape[1]
    x_grad, past_grad = x.new_empty(B, T, E), torch.empty_like(past)
    parts = weight.new_empty(B * triton.cdiv(T, TOKENS), K + 1, E)
    _filter_gradients[_programs(x)](
        y_grad, x, past, weight, bias, x_grad, past_grad, parts, T, E, x.stride(1), silu, K, TOKENS, WIDTH, num_warps=1
    )
    sums = parts.sum(0)
    return [x_grad, past_grad, sums[:K].t().contiguous(), sums[K].clone()]


@_filter_backward.register_fake
def _empty_grads(y_grad: Tensor, x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> list[Tensor]:
    return [tensor.new_empty(tensor.shape) for tensor in (x, past, weight, bias)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.silu = inputs[4]


def _backward(ctx: Any, y_grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*_filter_backward(y_grad, *ctx.saved_tensors, ctx.silu), None)


_filter.register_autograd(_backward, setup_context=_keep)


def _programs(x_BTE: Tensor) -> tuple[int]:
    B, T, E = x_BTE.shape
    return (B * triton.cdiv(T, TOKENS) * triton.cdiv(E, WIDTH),)


# ---- kernels -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["T"])
def _filtered(
    x, past, weight, bias, y, T, E, stride, SILU: tl.constexpr, K: tl.constexpr, L: tl.constexpr, W: tl.constexpr
):
    b, start, e, _ = _place(T, E, L, W)
    inside = e < E
    weight_K = _taps(weight, e, inside, K)
    offset = tl.load(bias + e, mask=inside, other=0.0)
    seen = _seen(x, past, b, start - K + 1, T, E, e, stride, L + K - 1, K)
    for t in tl.static_range(L):
        z = _weighed(seen, t, weight_K, offset, K)
        if SILU:
            z = z * tl.sigmoid(z)
        _store(y, z, b, start + t, T, E, e)


@triton.jit(do_not_specialize=["T"])
def _filter_gradients(
    y_grad, x, past, weight, bias, x_grad, past_grad, parts, T, E, stride,
    SILU: tl.constexpr, K: tl.constexpr, L: tl.constexpr, W: tl.constexpr,
):  # fmt: skip
    b, start, e, part = _place(T, E, L, W)
    inside = e < E
    weight_K = _taps(weight, e, inside, K)
    offset = tl.load(bias + e, mask=inside, other=0.0)
    seen = _seen(x, past, b, start - K + 1, T, E, e, stride, L + 2 * K - 2, K)
    z_grad = ()
    for t in tl.static_range(L + K - 1):  # the last tokens of which belong to the next program
        grad = _load(y_grad, b, start + t, T, E, e, E)
        if SILU:
            z = _weighed(seen, t, weight_K, offset, K)
            gate = tl.sigmoid(z)
            grad = grad * gate * (1 + z * (1 - gate))
        z_grad = z_grad + (grad,)
    for t in tl.static_range(L):
        _store(x_grad, _received(z_grad, t, weight_K, K), b, start + t, T, E, e)
    for s in tl.static_range(1 - K, 0):
        where = (b * E + e) * (K - 1) + K - 1 + s
        tl.store(past_grad + where, _received(z_grad, s, weight_K, K), mask=e < tl.where(start == 0, E, 0))
    for k in tl.static_range(K + 1):
        total = tl.zeros([W], tl.float32)
        for t in tl.static_range(L):
            total += z_grad[t] * seen[t + k] if k < K else z_grad[t]
        tl.store(parts + (part * (K + 1) + k) * E + e, total, mask=inside)


@triton.jit
def _place(T, E, L: tl.constexpr, W: tl.constexpr):
    """Of a program: its sequence, its first token in it, its channels, the number of its tokens' block."""
    blocks, pieces = tl.cdiv(E, W), tl.cdiv(T, L)
    at = tl.program_id(0) // blocks
    e = tl.program_id(0) % blocks * W + tl.arange(0, W)
    return (at // pieces).to(tl.int64), at % pieces * L, e, at.to(tl.int64)


@triton.jit
def _taps(weight, e, inside, K: tl.constexpr):
    taps = ()
    for k in tl.static_range(K):
        taps = taps + (tl.load(weight + e * K + k, mask=inside, other=0.0),)
    return taps


@triton.jit
def _seen(x, past, b, first, T, E, e, stride, COUNT: tl.constexpr, K: tl.constexpr):
    """Tokens from `first` on, in fp32: of the past where that is negative, zeros behind the end."""
    seen = ()
    for i in tl.static_range(COUNT):
        t = first + i
        row = _load(x, b, t, T, E, e, stride)
        if i < K - 1:
            where = (b * E + e) * (K - 1) + K - 1 + t
            row += tl.load(past + where, mask=e < tl.where(t < 0, E, 0), other=0.0).to(tl.float32)
        seen = seen + (row,)
    return seen


@triton.jit
def _weighed(seen, t: tl.constexpr, weight_K, offset, K: tl.constexpr):
    z = offset
    for k in tl.static_range(K):
        z += weight_K[k] * seen[t + k]
    return z


@triton.jit
def _received(z_grad, t: tl.constexpr, weight_K, K: tl.constexpr):
    """The gradient of token t of those of the program: it is the k-th that token t + K - 1 - k sees."""
    total = tl.zeros_like(z_grad[0])
    for k in tl.static_range(K):
        if t + K - 1 - k >= 0:
            total += weight_K[k] * z_grad[t + K - 1 - k]
    return total


@triton.jit
def _load(x, b, t, T, E, e, stride):
    there = tl.where(t < 0, 0, tl.where(t < T, E, 0))
    return tl.load(x + (b * T + t) * stride + e, mask=e < there, other=0.0).to(tl.float32)


@triton.jit
def _store(x, row, b, t, T, E, e):
    tl.store(x + (b * T + t) * E + e, row.to(x.dtype.element_ty), mask=e < tl.where(t < T, E, 0))
