"""Diagonal state space model (S4D): every channel is filtered by a sum of N decaying oscillations that it learns.

    u, z = W_in x;  u = s · u;  h_t = Ā h_{t-1} + B̄ u_t;  y_t = Re(Σ_n C_n h_t) + D u_t;  out = W_out( y · silu(z) )
    Ā = exp(Δ A),  B̄ = (Ā - 1) / A,  s the learnt scale of a channel's input

The rates do not depend on the token, so that the whole is a convolution with K_k = Re(Σ_n C_n B̄_n Ā_n^k), done by FFT
over all tokens at once; step by step it is the recurrence. A starts as -1/2 + iπn (`lin`) or as -(n + 1) (`real`),
Δ log-uniform between 0.001 and 0.1. Kernel, FFT and state are fp32 under autocast too.

Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space Models" (S4D-Lin,
S4D-Real, zero-order hold). The founding hybrid of attention, SSM and Hopfield memory meant this, with the input scale.

Legend: B batch, T tokens, D d_model, E channels (= D), N states of a channel, F frequencies,
P parts of a number: the real one, and the imaginary one of a complex number.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from growlab.blocks.any_length import recurrence
from growlab.blocks.base import Mixer, State, wide, without_autocast
from growlab.blocks.mamba import DT_MAX, DT_MIN, log_uniform
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class SsmOptions:
    d_state: int = option(16, search=(8, 16, 32), help="oscillations, or decays, of a channel's filter")
    start: str = option("lin", search=("lin", "real"), help="lin (oscillations, S4D-Lin) or real (decays, S4D-Real)")

    def check(self, d_model: int) -> None:
        if self.d_state < 1:
            raise LayoutError(f"ssm[d_state={self.d_state}] must be at least 1")
        if self.start not in ("lin", "real"):
            raise LayoutError(f"ssm[start={self.start}] must be lin or real")


def ssm_cost(d_model: int, options: SsmOptions, seq_len: int) -> Cost:
    """Cost in which an FFT of n numbers is charged 2.5 n log2 n (Cooley and Tukey, real input), the kernel once."""
    n_padded, states = 2 * seq_len, d_model * options.d_state
    fft = math.ceil(2.5 * n_padded * math.log2(n_padded))
    parts = 2 if options.start == "lin" else 1  # real and imaginary
    return Cost(
        n_params=3 * d_model * d_model + 2 * parts * states + 3 * d_model,  # A and C; s, Δ and D
        matmul_flops=2 * seq_len * 3 * d_model * d_model,
        other_flops=d_model * (2 * fft + 6 * (seq_len + 1) + 6 * seq_len) + 8 * states * seq_len,
        # u and z, scaled u, its spectrum, y, silu(z), and their product
        activations=seq_len * 9 * d_model,
        state_size=parts * states,
    )


@register_block(
    "ssm", role="sequence", summary="diagonal SSM (S4D) with a learnt input scale", options=SsmOptions, cost=ssm_cost
)
class DiagonalSsm(Mixer):
    def __init__(self, d_model: int, options: SsmOptions) -> None:
        super().__init__(d_model, options)
        n, parts = torch.arange(options.d_state), 2 if options.start == "lin" else 1
        decay, frequency = (torch.full(n.shape, 0.5), math.pi * n) if parts == 2 else (n + 1.0, None)
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.scale = nn.Parameter(torch.ones(d_model))
        self.log_dt = nn.Parameter(log_uniform(d_model, DT_MIN, DT_MAX).log())
        self.log_decay = nn.Parameter(decay.log().repeat(d_model, 1))
        self.frequency = nn.Parameter(frequency.repeat(d_model, 1)) if frequency is not None else None
        self.C = nn.Parameter(torch.randn(d_model, options.d_state, parts) / math.sqrt(parts * options.d_state))
        self.D = nn.Parameter(torch.ones(d_model))
        for dynamics in (self.log_dt, self.log_decay, self.frequency, self.D):
            if dynamics is not None:
                dynamics.no_decay = True  # type: ignore[attr-defined]  # read by the optimizer
                dynamics.copied_at_growth = True  # type: ignore[attr-defined]  # read by growth
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        u_BTE, z_BTE = self._inputs(x_BTD)
        with without_autocast(x_BTD.device):
            y_BTE = self._run_along(u_BTE) if torch.compiler.is_exporting() else self._filtered(u_BTE)
        return self._output(y_BTE, u_BTE, z_BTE)

    def initial_state(self, batch: int) -> State:
        weight = self.in_proj.weight
        return (torch.zeros(batch, *self.C.shape, device=weight.device, dtype=wide(weight.dtype)),)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Run the recurrence over the next tokens; the state is h, for `lin` its real and its imaginary part."""
        u_BTE, z_BTE = self._inputs(x_BTD)
        with without_autocast(x_BTD.device):
            exponent_EN, gain_EN, read_EN = self._discretised(u_BTE.dtype)
            step_EN = exponent_EN.exp()
            h_BEN, outputs = self._number(state[0]), []
            for u_BE in u_BTE.unbind(1):
                h_BEN = step_EN * h_BEN + gain_EN * u_BE[..., None]
                outputs.append(real_part(read_EN * h_BEN).sum(-1))
        return self._output(torch.stack(outputs, dim=1), u_BTE, z_BTE), (self._parts(h_BEN),)

    def _inputs(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the filter: scaled u, in fp32 at least, and z."""
        u_BTE, z_BTE = self.in_proj(x_BTD).chunk(2, dim=-1)
        to = wide(u_BTE.dtype)
        return u_BTE.to(to) * self.scale.to(to), z_BTE

    def _discretised(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Matrices by a zero-order hold, each (E, N): Δ A, of which Ā is the exponential, B̄ and C."""
        rate_EN = self._rate(dtype)
        exponent_EN = self.log_dt.to(dtype).exp()[:, None] * rate_EN
        return exponent_EN, (exponent_EN.exp() - 1) / rate_EN, self._number(self.C.to(dtype))

    def _rate(self, dtype: torch.dtype) -> Tensor:
        """The diagonal of A."""
        decay_EN = self.log_decay.to(dtype).exp()
        return -decay_EN if self.frequency is None else torch.complex(-decay_EN, self.frequency.to(dtype))

    def _number(self, parts: Tensor) -> Tensor:
        """The number made of its parts: complex for `lin`, else real."""
        return torch.view_as_complex(parts.contiguous()) if self.frequency is not None else parts[..., 0]

    def _parts(self, number: Tensor) -> Tensor:
        return torch.view_as_real(number) if self.frequency is not None else number[..., None]

    def _filtered(self, u_BTE: Float[Tensor, "B T E"]) -> Float[Tensor, "B T E"]:
        """Convolve each channel with its kernel; zeros behind the text keep its end from its beginning."""
        T = u_BTE.shape[1]
        # made again in the backward pass: it is made of N numbers for each of its own, and the batch shares it
        kernel_TE = checkpoint(self.kernel, T, u_BTE.dtype, use_reentrant=False, preserve_rng_state=False)
        spectrum_BFE = torch.fft.rfft(u_BTE, 2 * T, dim=1) * torch.fft.rfft(kernel_TE, 2 * T, dim=0)
        filtered_BTE: Tensor = torch.fft.irfft(spectrum_BFE, 2 * T, dim=1)[:, :T]
        return filtered_BTE

    def _run_along(self, u_BTE: Float[Tensor, "B T E"]) -> Float[Tensor, "B T E"]:
        """Compute what `_filtered` does by the recurrence, in real numbers: an exported program has no other."""
        step_ENP, gain_ENP = self._discretised_in_parts(u_BTE.dtype)
        read_ENP = self.C.to(u_BTE.dtype)

        def step(h_BENP: Tensor, u_BE: Tensor) -> tuple[Tensor, Tensor]:
            h_BENP = product(step_ENP, h_BENP) + gain_ENP * u_BE[..., None, None]
            return h_BENP, product(read_ENP, h_BENP)[..., 0].sum(-1)

        state = self.initial_state(u_BTE.shape[0])[0].to(u_BTE.dtype)
        return recurrence(step, state, u_BTE.transpose(0, 1))[1].transpose(0, 1)

    def _discretised_in_parts(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Ā and B̄, each (E, N) and its parts last: a real one, and for `lin` an imaginary one."""
        decay_EN, dt_E1 = self.log_decay.to(dtype).exp(), self.log_dt.to(dtype).exp()[:, None]
        shrunk_EN = (-dt_E1 * decay_EN).exp()
        if self.frequency is None:
            return shrunk_EN[..., None], ((1 - shrunk_EN) / decay_EN)[..., None]
        turn_EN = dt_E1 * self.frequency.to(dtype)
        step_ENP = shrunk_EN[..., None] * torch.stack((turn_EN.cos(), turn_EN.sin()), -1)
        moved_ENP = step_ENP - step_ENP.new_tensor([1.0, 0.0])
        conjugate_ENP = torch.stack((-decay_EN, -self.frequency.to(dtype)), -1)
        return step_ENP, product(moved_ENP, conjugate_ENP) / conjugate_ENP.square().sum(-1, keepdim=True)

    def kernel(self, n_tokens: int, dtype: torch.dtype) -> Float[Tensor, "T E"]:
        """The kernel K_0 … K_{T-1} of every channel."""
        exponent_EN, gain_EN, read_EN = self._discretised(dtype)
        k_T11 = torch.arange(n_tokens, device=exponent_EN.device, dtype=dtype)[:, None, None]
        return real_part((k_T11 * exponent_EN).exp() * (gain_EN * read_EN)).sum(-1)

    def _output(self, y_BTE: Tensor, u_BTE: Tensor, z_BTE: Tensor) -> Tensor:
        skipped_BTE = torch.addcmul(y_BTE, u_BTE, self.D.to(u_BTE.dtype))
        y_BTD: Tensor = self.out_proj((skipped_BTE * F.silu(z_BTE)).to(z_BTE.dtype))
        return y_BTD


def product(a: Float[Tensor, "... P"], b: Float[Tensor, "... P"]) -> Float[Tensor, "... P"]:
    """Multiply numbers that are given by their parts: the real one, and the imaginary one where there is one."""
    if a.shape[-1] == 1:
        return a * b
    (a_re, a_im), (b_re, b_im) = a.unbind(-1), b.unbind(-1)
    return torch.stack((a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re), dim=-1)


def real_part(x: Complex[Tensor, "..."] | Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    return x.real if x.is_complex() else x
