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

from typing import Any

import torch
from torch import Tensor, library

from growlab.kernels.memory_chunk import CHUNK, sums_of
from growlab.kernels.memory_gradient import backward
from growlab.kernels.memory_walk import read, walk


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
