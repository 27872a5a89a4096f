"""The gate of growlab.blocks.swiglu on a GPU: one pass forwards, one backwards, each number read and written once.

Legend: R rows, H hidden width, I = 2 H columns that come in, L rows of a program, W columns of it.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, library

ROWS, WIDTH = 4, 256  # of a program


def swiglu(inner: Float[Tensor, "*rows I"]) -> Float[Tensor, "*rows H"]:
    """Gate as growlab.blocks.swiglu does: in fp32, rounded once."""
    gated: Tensor = _gate(inner)
    return gated


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::swiglu_kernel", mutates_args=())
def _gate(inner: Tensor) -> Tensor:
    inner, (R, H) = inner.contiguous(), _size(inner)
    gated = inner.new_empty(*inner.shape[:-1], H)
    _gated[_programs(R, H)](inner, gated, R, H, ROWS, WIDTH, num_warps=1)
    return gated


@_gate.register_fake
def _half(inner: Tensor) -> Tensor:
    return inner.new_empty(*inner.shape[:-1], inner.shape[-1] // 2)


@library.custom_op("growlab::swiglu_kernel_backward", mutates_args=())
def _gate_backward(grad: Tensor, inner: Tensor) -> Tensor:
    grad, inner = grad.contiguous(), inner.contiguous()
    inner_grad, (R, H) = torch.empty_like(inner), _size(inner)
    _gate_gradients[_programs(R, H)](grad, inner, inner_grad, R, H, ROWS, WIDTH, num_warps=1)
    return inner_grad


@_gate_backward.register_fake
def _whole(grad: Tensor, inner: Tensor) -> Tensor:
    return inner.new_empty(inner.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> Tensor:
    inner_grad: Tensor = _gate_backward(grad, *ctx.saved_tensors)
    return inner_grad


_gate.register_autograd(_backward, setup_context=_keep)


def _size(inner: Tensor) -> tuple[int, int]:
    H = inner.shape[-1] // 2
    return inner.numel() // (2 * H), H


def _programs(R: int, H: int) -> tuple[int]:
    return (triton.cdiv(R, ROWS) * triton.cdiv(H, WIDTH),)


# ---- kernels -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["R"])
def _gated(inner, gated, R, H, L: tl.constexpr, W: tl.constexpr):
    first, h = _place(H, L, W)
    for r in tl.static_range(L):
        value, gate, inside = _load(inner, first + r, h, R, H)
        y = value * gate * tl.sigmoid(gate)
        tl.store(gated + (first + r) * H + h, y.to(gated.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["R"])
def _gate_gradients(grad, inner, inner_grad, R, H, L: tl.constexpr, W: tl.constexpr):
    first, h = _place(H, L, W)
    for r in tl.static_range(L):
        row = first + r
        value, gate, inside = _load(inner, row, h, R, H)
        y_grad = tl.load(grad + row * H + h, mask=inside, other=0.0).to(tl.float32)
        share = tl.sigmoid(gate)
        value_grad = y_grad * gate * share
        gate_grad = y_grad * value * share * (1 + gate * (1 - share))
        tl.store(inner_grad + 2 * row * H + h, value_grad.to(inner_grad.dtype.element_ty), mask=inside)
        tl.store(inner_grad + (2 * row + 1) * H + h, gate_grad.to(inner_grad.dtype.element_ty), mask=inside)


@triton.jit
def _place(H, L: tl.constexpr, W: tl.constexpr):
    """The first row of a program, and its columns."""
    blocks = tl.cdiv(H, W)
    first = (tl.program_id(0) // blocks).to(tl.int64) * L
    return first, tl.program_id(0) % blocks * W + tl.arange(0, W)


@triton.jit
def _load(inner, row, h, R, H):
    """Value and gate of some columns of a row, in fp32, and which of them there are."""
    inside = h < tl.where(row < R, H, 0)
    value = tl.load(inner + 2 * row * H + h, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(inner + (2 * row + 1) * H + h, mask=inside, other=0.0).to(tl.float32)
    return value, gate, inside
