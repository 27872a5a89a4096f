"""The selective scan of Mamba-1: a diagonal linear recurrence whose rates, inputs and outputs depend on the token.

    h_t = exp(Δ_t A) · h_{t-1} + B_t x_t        y_t = Σ_n C_t h_t        x_t = Δ_t u_t

Both passes walk from one chunk of tokens to the next. What does not depend on the state is done for all tokens
of a chunk at once; the recurrence itself is one multiply-add per token. The forward pass keeps the state at
the head of each chunk and nothing else of the size of states. The backward pass computes a chunk's states
again and walks through it from its end, with the adjoint g of the state (bars are gradients):

    g_t = C_t ȳ_t + exp(Δ_{t+1} A) · g_{t+1}        q_t = g_t · exp(Δ_t A) · h_{t-1}
    x̄_t = Σ_n B_t g_t    B̄_t = Σ_e x_t g_t    C̄_t = Σ_e ȳ_t h_t    Δ̄_t = Σ_n A q_t + x̄_t u_t    Ā = Σ_t Δ_t q_t

Each pass is one operator, so that a compiler sees two calls and not T steps. Nothing is read back from the
device and no shape depends on data: a CUDA graph can capture both.

Source: Gu and Dao 2023, "Mamba", section 3; the adjoint is that of any linear recurrence.

Legend: B batch, T tokens, E channels, N states of a channel, L tokens of a chunk, K chunks.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, library

from growlab.blocks.any_length import recurrence
from growlab.kernels import Door

# Tokens. Long enough that the kept states, N / CHUNK numbers for each of u, weigh no more than an input at
# N = 16; short enough that what a chunk works on stays in a processor's cache.
CHUNK = 16


def selective_scan(
    u_BTE: Float[Tensor, "B T E"],
    dt_BTE: Float[Tensor, "B T E"],
    a_NE: Float[Tensor, "N E"],
    b_BTN: Float[Tensor, "B T N"],
    c_BTN: Float[Tensor, "B T N"],
    h_BNE: Float[Tensor, "B N E"],
) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B N E"]]:
    """Scan T ≥ 1 tokens from the state before the first; return y and the state after the last.

    All of one dtype, fp32 at least; dt ≥ 0 and a ≤ 0, so that no exponent is positive. Differentiable once, in
    every argument. On a CPU the same input gives the same bits.
    """
    y_BTE, last_BNE, _ = _scan(u_BTE, dt_BTE, a_NE, b_BTN, c_BTN, h_BNE)
    return y_BTE, last_BNE


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
    """Return (y + skip · u) · silu(z), of the scan with Δ = softplus(delta), and the state after the last token.

    u, z and what is returned may be narrower than the rest. On a GPU in fp32 it is a kernel (growlab.kernels).
    """
    out_BTE, last_BNE = DOOR(u_BTE, delta_BTE, z_BTE, a_NE, b_BTN, c_BTN, skip_E, h_BNE)
    return out_BTE, last_BNE


def scan_flops(seq_len: int, channels: int, d_state: int) -> int:
    """Count the forward pass: Δ·A, its exponential, B·x, and two multiply-adds for each state; Δ·u for each channel."""
    return seq_len * channels * (7 * d_state + 1)


# ---- the two passes ------------------------------------------------------------------------------------------------


@library.custom_op("growlab::selective_scan", mutates_args=())
def _scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scan forwards: y (B, T, E), the last state (B, N, E) and the states at the heads of the chunks (K, B, N, E)."""
    states, c_TBN = _States(u, dt, a, b), _time_first(c)
    y_BTE, _, heads_KBNE = _empty_scan(u, dt, a, b, c, h)
    y_TBE, work_LBNE = y_BTE.transpose(0, 1), states.buffer()
    for k, tokens in enumerate(_chunks(u)):
        heads_KBNE[k] = h
        _, h_LBNE = states.of(tokens, h)
        _sum_products(h_LBNE[1:], c_TBN[tokens, :, :, None], 2, out=y_TBE[tokens], work=work_LBNE)
        h = h_LBNE[-1]
    return y_BTE, h.clone(), heads_KBNE


@_scan.register_fake
def _empty_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n_chunks = -(-u.shape[1] // CHUNK)
    return u.new_empty(u.shape), h.new_empty(h.shape), h.new_empty(n_chunks, *h.shape)


@library.custom_op("growlab::selective_scan_backward", mutates_args=())
def _scan_backward(
    y_grad: Tensor, last_grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, heads: Tensor
) -> list[Tensor]:
    """Gradients of u, dt, a, b, c and of the state before the first token."""
    states, c_TBN, y_grad_TBE = _States(u, dt, a, b), _time_first(c), _time_first(y_grad)
    x_grad, dt_grad, a_grad, b_grad, c_grad, _ = _empty_grads(y_grad, last_grad, u, dt, a, b, c, heads)
    x_grad_TBE, dt_grad_TBE, b_grad_TBN, c_grad_TBN = (
        tensor.transpose(0, 1) for tensor in (x_grad, dt_grad, b_grad, c_grad)
    )
    a_grad.zero_()
    carry_BNE, adjoints_LBNE, work_LBNE = last_grad, states.buffer(), states.buffer()
    for k, tokens in reversed(list(enumerate(_chunks(u)))):
        decay_LBNE, h_LBNE = states.of(tokens, heads[k])
        y_grad_LB1E, b_LBN1, c_LBN1 = y_grad_TBE[tokens, :, None], states.b_TBN1[tokens], c_TBN[tokens, ..., None]
        g_LBNE = torch.mul(y_grad_LB1E, c_LBN1, out=adjoints_LBNE[: len(decay_LBNE)])
        carry_BNE = _accumulate_from_the_end(g_LBNE, decay_LBNE, carry_BNE)
        _sum_products(g_LBNE, b_LBN1, 2, out=x_grad_TBE[tokens], work=work_LBNE)
        _sum_products(g_LBNE, states.x_TB1E[tokens], 3, out=b_grad_TBN[tokens], work=work_LBNE)
        _sum_products(h_LBNE[1:], y_grad_LB1E, 3, out=c_grad_TBN[tokens], work=work_LBNE)
        q_LBNE = decay_LBNE.mul_(g_LBNE).mul_(h_LBNE[:-1])
        _sum_products(q_LBNE, states.a_NE, 2, out=dt_grad_TBE[tokens], work=work_LBNE)
        a_grad += q_LBNE.mul_(states.dt_TB1E[tokens]).sum((0, 1))
    return [x_grad * dt, dt_grad.addcmul_(x_grad, u), a_grad, b_grad, c_grad, carry_BNE]


@_scan_backward.register_fake
def _empty_grads(
    y_grad: Tensor, last_grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, heads: Tensor
) -> list[Tensor]:
    return [tensor.new_empty(tensor.shape) for tensor in (u, dt, a, b, c, last_grad)]


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:5], output[2])
    ctx.set_materialize_grads(False)  # else there would be zeros for the heads, which have no gradient


def _backward(ctx: Any, y_grad: Tensor | None, last_grad: Tensor | None, _: None) -> tuple[Tensor, ...]:
    u, *_, heads = kept = ctx.saved_tensors
    y_grad = torch.zeros_like(u) if y_grad is None else y_grad
    last_grad = torch.zeros_like(heads[0]) if last_grad is None else last_grad
    return tuple(_scan_backward(y_grad, last_grad, *kept))


_scan.register_autograd(_backward, setup_context=_keep)


# ---- the door to the kernel ----------------------------------------------------------------------------------------


def _definition(
    u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    wide_BTE = u.to(delta.dtype)
    y_BTE, last_BNE = selective_scan(wide_BTE, F.softplus(delta), a, b, c, h)
    return (torch.addcmul(y_BTE, wide_BTE, skip) * F.silu(z)).to(z.dtype), last_BNE


def _exported(
    u: Tensor, delta: Tensor, z: Tensor, a: Tensor, b: Tensor, c: Tensor, skip: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Scan token by token, by an operator that a program may hold whatever its length."""

    def step(h_BNE: Tensor, dt_BE: Tensor, x_BE: Tensor, b_BN: Tensor, c_BN: Tensor) -> tuple[Tensor, Tensor]:
        h_BNE = torch.addcmul(x_BE[:, None] * b_BN[..., None], (dt_BE[:, None] * a).exp(), h_BNE)
        return h_BNE, (h_BNE * c_BN[..., None]).sum(1)

    wide_BTE, dt_BTE = u.to(delta.dtype), F.softplus(delta)
    each = (tensor.transpose(0, 1) for tensor in (dt_BTE, dt_BTE * wide_BTE, b, c))
    last_BNE, y_TBE = recurrence(step, h, *each)
    return (torch.addcmul(y_TBE.transpose(0, 1), wide_BTE, skip) * F.silu(z)).to(z.dtype), last_BNE


def _kernel() -> Callable[..., tuple[Tensor, Tensor]]:
    from growlab.kernels.selective_scan import gated_scan

    return gated_scan


def _fits_kernel(u: Tensor, delta: Tensor, z: Tensor, *others: Tensor) -> bool:
    narrow = (torch.float32, torch.bfloat16)
    return u.dtype in narrow and z.dtype in narrow and all(each.dtype == torch.float32 for each in (delta, *others))


def _examples() -> list[tuple[Tensor, ...]]:
    """Inputs of two chunks of tokens and of two blocks of channels, neither whole; in bf16 more chunks than are loaded
    at once.
    """
    u, delta, z, *others = _drawn(B=1, T=150, E=3, N=2)
    return [_drawn(B=2, T=21, E=80, N=16), (u.to(torch.bfloat16), delta, z.to(torch.bfloat16), *others)]


def _drawn(B: int, T: int, E: int, N: int) -> tuple[Tensor, ...]:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    u, delta, z = draw(B, T, E), draw(B, T, E) - 2, draw(B, T, E)
    return u, delta, z, -draw(N, E).exp(), draw(B, T, N), draw(B, T, N), draw(E), draw(B, N, E)


DOOR = Door(
    name="selective_scan",
    definition=_definition,
    kernel=_kernel,
    fits=_fits_kernel,
    examples=_examples,
    exported=_exported,
    tolerance=2e-6,
)


# ---- what both are made of -----------------------------------------------------------------------------------------


class _States:
    """The states of one chunk of tokens after another, in buffers that each overwrites."""

    def __init__(self, u: Tensor, dt: Tensor, a: Tensor, b: Tensor) -> None:
        dt_TBE = _time_first(dt)
        self.dt_TB1E = dt_TBE[:, :, None]
        self.x_TB1E = (dt_TBE * _time_first(u))[:, :, None]
        self.b_TBN1 = _time_first(b)[..., None]
        self.a_NE = a.contiguous()
        self._decay_LBNE, self._h_LBNE = self.buffer(), self.buffer(extra=1)

    def buffer(self, extra: int = 0) -> Tensor:
        """A buffer of one number for each state of a chunk, and of `extra` tokens more."""
        T, B, _, _ = self.x_TB1E.shape
        return self.a_NE.new_empty(min(CHUNK, T) + extra, B, *self.a_NE.shape)

    def of(self, tokens: slice, head_BNE: Tensor) -> tuple[Tensor, Tensor]:
        """Decays exp(Δ A) of L tokens, and L + 1 states: the one before them and the one after each."""
        L = tokens.stop - tokens.start
        decay_LBNE, h_LBNE = self._decay_LBNE[:L], self._h_LBNE[: L + 1]
        h_LBNE[0] = head_BNE  # first: it may be the last state of the chunk before, in this very buffer
        torch.mul(self.dt_TB1E[tokens], self.a_NE, out=decay_LBNE).exp_()
        torch.mul(self.x_TB1E[tokens], self.b_TBN1[tokens], out=h_LBNE[1:])
        states = h_LBNE.unbind()
        for decay_BNE, before_BNE, after_BNE in zip(decay_LBNE.unbind(), states, states[1:], strict=False):
            after_BNE.addcmul_(decay_BNE, before_BNE)
        return decay_LBNE, h_LBNE


def _accumulate_from_the_end(g_LBNE: Tensor, decay_LBNE: Tensor, carry_BNE: Tensor) -> Tensor:
    """Add exp(Δ_{t+1} A) · g_{t+1} to g_t in place, `carry` to the last; return what the chunk before receives."""
    g, decay = g_LBNE.unbind(), decay_LBNE.unbind()
    g[-1].add_(carry_BNE)
    for t in range(len(g) - 1, 0, -1):
        g[t - 1].addcmul_(decay[t], g[t])
    return decay[0] * g[0]


def _sum_products(left_LBNE: Tensor, right_LBNE: Tensor, dim: int, *, out: Tensor, work: Tensor) -> None:
    """Sum left · right (which broadcasts) over `dim`, without allocating the product."""
    torch.sum(torch.mul(left_LBNE, right_LBNE, out=work[: len(left_LBNE)]), dim=dim, out=out)


def _chunks(x_BTE: Tensor) -> list[slice]:
    T = x_BTE.shape[1]
    return [slice(start, min(start + CHUNK, T)) for start in range(0, T, CHUNK)]


def _time_first(x_BTE: Tensor) -> Tensor:
    """A (T, B, …) view of memory in which the last axis is contiguous."""
    return x_BTE.contiguous().transpose(0, 1)
