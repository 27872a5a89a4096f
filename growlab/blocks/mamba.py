"""Mamba-1 (S6): a state per channel that each token decides how fast to forget, what to write and how to read.

    u, z = W_in x;  u = silu(causal depthwise filter * u);  δ, B, C = W_x u;  Δ = softplus(W_Δ δ + b_Δ)
    h_t = exp(Δ_t A) · h_{t-1} + Δ_t B_t u_t;  y_t = Σ_n C_t h_t + D u_t;  out = W_out( y · silu(z) )

A = -exp(A_log) starts as -(1 … N) in every channel and softplus(b_Δ) log-uniform between 0.001 and 0.1, so that
half-lives spread from less than ten tokens to hundreds. Δ, A, the state and y are fp32 under autocast too.

Source: Gu and Dao 2023, "Mamba". The founding project Aetheris meant this; its gate was dead and all its
states had one time constant.

Legend: B batch, T tokens, S tokens that the filter sees, D d_model, E d_inner, N d_state, R dt_rank, n numbers drawn.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer, State, wide, without_autocast
from growlab.blocks.causal_filter import causal_filter
from growlab.blocks.padded_linear import padded_linear
from growlab.blocks.selective_scan import CHUNK, gated_scan, scan_flops
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block

DT_MIN, DT_MAX = 1e-3, 1e-1  # at birth


@dataclass(frozen=True, kw_only=True)
class MambaOptions:
    expand: int = option(2, search=(1, 2), help="channels that carry states, over d_model")
    d_state: int = option(16, search=(8, 16, 32), help="states of a channel")
    kernel: int = option(4, search=(2, 4), help="tokens that the filter before the scan sees, the present one included")

    def check(self, d_model: int) -> None:
        for name in ("expand", "d_state", "kernel"):
            if getattr(self, name) < 1:
                raise LayoutError(f"mamba[{name}={getattr(self, name)}] must be at least 1")


def dt_rank(d_model: int) -> int:
    """The width through which a token decides on the rates of all channels."""
    return math.ceil(d_model / 16)


def mamba_cost(d_model: int, options: MambaOptions, seq_len: int) -> Cost:
    """Cost with the scan's share in other_flops (see scan_flops); D·u and its sum are 2 for each channel."""
    d_inner, rank = options.expand * d_model, dt_rank(d_model)
    matrices = 3 * d_model * d_inner + d_inner * (2 * rank + 2 * options.d_state)
    state = options.d_state * d_inner
    return Cost(
        n_params=matrices + d_inner * options.kernel + state + 3 * d_inner,  # filter's and Δ's bias, D
        matmul_flops=2 * seq_len * (matrices + d_inner * options.kernel),
        other_flops=scan_flops(seq_len, d_inner, options.d_state) + 2 * seq_len * d_inner,
        # u and z, padded u, filtered, silu, Δ before and after softplus, y, silu(z), their product
        activations=seq_len * (10 * d_inner + rank + 2 * options.d_state) + math.ceil(seq_len / CHUNK) * state,
        state_size=(options.kernel - 1) * d_inner + state,
    )


@register_block("mamba", role="sequence", summary="S6 selective scan", options=MambaOptions, cost=mamba_cost)
class Mamba(Mixer):
    def __init__(self, d_model: int, options: MambaOptions) -> None:
        super().__init__(d_model, options)
        d_inner, rank, self.d_state = options.expand * d_model, dt_rank(d_model), options.d_state
        self.past = options.kernel - 1
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.filter = nn.Conv1d(d_inner, d_inner, options.kernel, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, rank + 2 * options.d_state, bias=False)
        # build_block gives it the variance of the paper's uniform ± rank^-0.5
        self.dt_proj = nn.Linear(rank, d_inner, bias=False)
        self.dt_bias = nn.Parameter(inverse_softplus(log_uniform(d_inner, DT_MIN, DT_MAX)))
        self.A_log = nn.Parameter(torch.arange(1.0, options.d_state + 1).log().repeat(d_inner, 1))
        self.A_log.no_decay = True  # type: ignore[attr-defined]  # read by the optimizer: decay would mean A → -1
        self.D = nn.Parameter(torch.ones(d_inner))
        for dynamics in (self.dt_bias, self.A_log, self.D):  # read by growth: a time constant is never extrapolated
            dynamics.copied_at_growth = True  # type: ignore[attr-defined]
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.advance(x_BTD, self.initial_state(x_BTD.shape[0]))[0]

    def initial_state(self, batch: int) -> State:
        weight, d_inner = self.filter.weight, len(self.D)
        return (
            torch.zeros(batch, d_inner, self.past, device=weight.device, dtype=weight.dtype),
            torch.zeros(batch, self.d_state, d_inner, device=weight.device, dtype=wide(weight.dtype)),
        )

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Scan the next tokens; the state is what the filter still sees, the last kernel - 1 tokens, and h."""
        u_BTE, z_BTE = self.in_proj(x_BTD).chunk(2, dim=-1)
        u_BTE, past_BES = causal_filter(self.filter, u_BTE, state[0], silu=True)
        y_BTE, h_BNE = self._scan(u_BTE.contiguous(), z_BTE, state[1])
        y_BTD: Tensor = self.out_proj(y_BTE)
        return y_BTD, (past_BES, h_BNE)

    def _scan(self, u_BTE: Tensor, z_BTE: Tensor, h_BNE: Tensor) -> tuple[Tensor, Tensor]:
        widths = [self.dt_proj.in_features, self.d_state, self.d_state]
        delta_BTR, b_BTN, c_BTN = torch.split(padded_linear(self.x_proj, u_BTE), widths, dim=-1)
        with without_autocast(u_BTE.device):
            to = wide(u_BTE.dtype)
            delta_BTR, b_BTN, c_BTN = (tensor.to(to) for tensor in (delta_BTR, b_BTN, c_BTN))
            delta_BTE = F.linear(delta_BTR, self.dt_proj.weight.to(to), self.dt_bias.to(to))
            a_NE = -self.A_log.to(to).t().exp()
            return gated_scan(u_BTE, delta_BTE, z_BTE, a_NE, b_BTN, c_BTN, self.D.to(to), h_BNE)


def log_uniform(n: int, low: float, high: float) -> Float[Tensor, " n"]:
    return torch.empty(n).uniform_(math.log(low), math.log(high)).exp()


def inverse_softplus(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The number ln(e^x - 1), in a form that is exact for small x."""
    return x + torch.log(-torch.expm1(-x))
