"""The loss of a token among many, on a GPU: logits are read as they are, in bf16 too, and never copied to fp32.

A program goes along the logits of one token: forwards once, with a running maximum and a running sum; backwards once,
where it writes the gradient of each. Without a kernel the logits are copied to fp32, normalised in another copy, and
both passes back are in fp32 too: at 64 × 256 tokens of 50,000 that is 3.3 GB each time.

Legend: S tokens, V vocabulary, W logits that a program reads at once.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor, library

WIDTH = 4096  # logits that a program reads at once


def cross_entropy(logits_SV: Float[Tensor, "S V"], targets_S: Int[Tensor, " S"], ignored: int) -> Float[Tensor, ""]:
    """Compute the mean loss in nats over the targets that are not `ignored`, fp32."""
    targets_S = targets_S.to(logits_SV.device)
    losses_S, _ = _losses(logits_SV, targets_S, ignored)
    mean: Tensor = losses_S.sum() / (targets_S != ignored).sum()
    return mean


# ---- operators of torch --------------------------------------------------------------------------------------------


@library.custom_op("growlab::cross_entropy_kernel", mutates_args=())
def _losses(logits: Tensor, targets: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    """The loss of each token, 0 where its target is ignored; and its highest logit, and the logsumexp beyond that."""
    logits, targets = logits.contiguous(), targets.contiguous()
    S, V = logits.shape
    losses, norms = logits.new_empty(S, dtype=torch.float32), logits.new_empty(S, 2, dtype=torch.float32)
    _lose[(S,)](logits, targets, losses, norms, V, ignored, WIDTH, num_warps=8)
    return losses, norms


@_losses.register_fake
def _empty_losses(logits: Tensor, targets: Tensor, ignored: int) -> tuple[Tensor, Tensor]:
    S = logits.shape[0]
    return logits.new_empty(S, dtype=torch.float32), logits.new_empty(S, 2, dtype=torch.float32)


@library.custom_op("growlab::cross_entropy_kernel_backward", mutates_args=())
def _losses_backward(losses_grad: Tensor, logits: Tensor, targets: Tensor, norms: Tensor, ignored: int) -> Tensor:
    """The gradient of the logits, in their dtype."""
    logits, targets, losses_grad = logits.contiguous(), targets.contiguous(), losses_grad.contiguous()
    S, V = logits.shape
    logits_grad = torch.empty_like(logits)
    _push[(S,)](losses_grad, logits, targets, norms, logits_grad, V, ignored, WIDTH, num_warps=8)
    return logits_grad


@_losses_backward.register_fake
def _empty_grad(losses_grad: Tensor, logits: Tensor, targets: Tensor, norms: Tensor, ignored: int) -> Tensor:
    return logits.new_empty(logits.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, targets, ctx.ignored = inputs
    ctx.save_for_backward(logits, targets, output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, losses_grad: Tensor, _norms_grad: Tensor) -> tuple[Tensor | None, ...]:
    return _losses_backward(losses_grad, *ctx.saved_tensors, ctx.ignored), None, None


_losses.register_autograd(_backward, setup_context=_keep)


# ---- kernels -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["ignored"])
def _lose(logits, targets, losses, norms, V, ignored, W: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    highest = float("-inf")
    total = 0.0
    for start in range(0, V, W):
        at = start + tl.arange(0, W)
        x = tl.load(logits + row * V + at, mask=at < V, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(highest, tl.max(x, 0))
        total = total * tl.exp(highest - higher) + tl.sum(tl.exp(x - higher), 0)
        highest = higher
    beyond = tl.log(total)
    target = tl.load(targets + row)
    counts = target != ignored
    picked = tl.load(logits + row * V + tl.where(counts, target, 0)).to(tl.float32)
    tl.store(norms + 2 * row, highest)
    tl.store(norms + 2 * row + 1, beyond)
    tl.store(losses + row, tl.where(counts, beyond - (picked - highest), 0.0))


@triton.jit(do_not_specialize=["ignored"])
def _push(losses_grad, logits, targets, norms, logits_grad, V, ignored, W: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + row)
    scale = tl.where(target != ignored, tl.load(losses_grad + row), 0.0)
    highest, beyond = tl.load(norms + 2 * row), tl.load(norms + 2 * row + 1)
    for start in range(0, V, W):
        at = start + tl.arange(0, W)
        x = tl.load(logits + row * V + at, mask=at < V, other=float("-inf")).to(tl.float32)
        grad = (tl.exp(x - highest - beyond) - tl.where(at == target, 1.0, 0.0)) * scale
        tl.store(logits_grad + row * V + at, grad, mask=at < V)
