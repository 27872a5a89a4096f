"""RMSNorm on a GPU: forwards one kernel, backwards one and a sum. torch's own gradient of the gain takes ten
microseconds where rows are short, however few there are, and a small model has one before each block.

    y = r x g,   r = (mean(x²) + ε)^-1/2;    dx = r (g dy - x̂ mean(g dy x̂)),   dg = Σ dy x̂,   x̂ = r x

A program holds some rows in registers, and backwards takes several such pieces, one after the other: it sums what they
say of the gain, and these sums are added up in a fixed order.

Legend: S rows, D numbers of a row, W the power of two that holds them, R rows of a piece, P programs.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, library

NUMBERS = 2048  # of a piece
MOST_PROGRAMS = 256  # backwards, each of which writes a row of sums


def rms_norm(x: Float[Tensor, "*rows D"], gain_D: Float[Tensor, " D"], eps: float) -> Float[Tensor, "*rows D"]:
    """Normalise rows as F.rms_norm does, in fp32."""
    y_SD, _ = _normed(x.reshape(-1, x.shape[-1]), gain_D, eps)
    y: Tensor = y_SD.view(x.shape)
    return y


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::rms_norm_kernel", mutates_args=())
def _normed(x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normalised rows, and by what each was multiplied."""
    x, gain = x.contiguous(), gain.contiguous()
    S, D = x.shape
    W, R = _piece(D)
    y, scales = torch.empty_like(x), x.new_empty(S)
    _normalise[(triton.cdiv(S, R),)](x, gain, y, scales, S, D, eps, W, R)
    return y, scales


@_normed.register_fake
def _empty_normed(x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape[0])


@library.custom_op("growlab::rms_norm_kernel_backward", mutates_args=())
def _normed_backward(y_grad: Tensor, x: Tensor, gain: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and gain."""
    y_grad, x, gain = y_grad.contiguous(), x.contiguous(), gain.contiguous()
    S, D = x.shape
    W, R = _piece(D)
    P = min(triton.cdiv(S, R), MOST_PROGRAMS)
    x_grad, parts = torch.empty_like(x), x.new_empty(P, D)
    _push[(P,)](y_grad, x, gain, scales, x_grad, parts, S, D, P, W, R)
    return x_grad, parts.sum(0)


@_normed_backward.register_fake
def _empty_grads(y_grad: Tensor, x: Tensor, gain: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), gain.new_empty(gain.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:2], output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, y_grad: Tensor, _scales_grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*_normed_backward(y_grad, *ctx.saved_tensors), None)


_normed.register_autograd(_backward, setup_context=_keep)


def _piece(D: int) -> tuple[int, int]:
    W = triton.next_power_of_2(D)
    return W, max(1, NUMBERS // W)


# ---- kernels -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["S"])
def _normalise(x, gain, y, scales, S, D, eps, W: tl.constexpr, R: tl.constexpr):
    row, d = (tl.program_id(0) * R + tl.arange(0, R)).to(tl.int64), tl.arange(0, W)
    at, inside = row[:, None] * D + d, (row < S)[:, None] & (d < D)
    values = tl.load(x + at, mask=inside, other=0.0)
    scale = 1.0 / tl.sqrt(tl.sum(values * values, 1) / D + eps)
    factor = tl.load(gain + d, mask=d < D, other=0.0)
    tl.store(scales + row, scale, mask=row < S)
    tl.store(y + at, values * scale[:, None] * factor, mask=inside)


@triton.jit(do_not_specialize=["S", "P"])
def _push(y_grad, x, gain, scales, x_grad, parts, S, D, P, W: tl.constexpr, R: tl.constexpr):
    d = tl.arange(0, W)
    factor = tl.load(gain + d, mask=d < D, other=0.0)
    gain_grad = tl.zeros([W], tl.float32)
    for piece in range(tl.program_id(0), tl.cdiv(S, R), P):
        row = (piece * R + tl.arange(0, R)).to(tl.int64)
        at, inside = row[:, None] * D + d, (row < S)[:, None] & (d < D)
        scale = tl.load(scales + row, mask=row < S, other=0.0)[:, None]
        normed = tl.load(x + at, mask=inside, other=0.0) * scale
        grad = tl.load(y_grad + at, mask=inside, other=0.0)
        gain_grad += tl.sum(grad * normed, 0)
        pull = grad * factor
        along = tl.sum(pull * normed, 1) / D
        tl.store(x_grad + at, scale * (pull - normed * along[:, None]), mask=inside)
    tl.store(parts + tl.program_id(0) * D + d, gain_grad, mask=d < D)
