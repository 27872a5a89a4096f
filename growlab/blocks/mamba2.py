"""Mamba-2 (SSD): a matrix of states for each head, forgotten at one rate that the token decides.

    z, u, B, C, δ = W_in x;  u, B, C = silu(causal depthwise filter * (u, B, C));  Δ = softplus(δ + b_Δ)
    S_t = exp(Δ_t A) S_{t-1} + Δ_t B_t u_tᵀ;  y_t = S_tᵀ C_t + D u_t;  out = W_out( g · RMSNorm(y · silu(z)) )

A = -exp(A_log), Δ and D belong to a head, B and C to all of them. As every entry of S decays alike, a chunk of tokens
is a product of matrices (growlab.blocks.decaying_memory), where Mamba-1 needs a scan. A starts uniform between -1 and
-16, softplus(b_Δ) log-uniform between 0.001 and 0.1. Δ, A, S, y and the norm are fp32 under autocast too.

Source: Dao and Gu 2024, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State
Space Duality".

Legend: B batch, T tokens, S tokens that the filter sees, D d_model, E d_inner, H heads, P head size, N d_state,
G filtered channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import NORM_EPS, Mixer, State, wide, without_autocast
from growlab.blocks.causal_filter import causal_filter
from growlab.blocks.decaying_memory import chunks, remember
from growlab.blocks.mamba import DT_MAX, DT_MIN, inverse_softplus, log_uniform
from growlab.blocks.padded_linear import padded_linear
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block

FASTEST = 16.0  # -A of a head at birth, at most


@dataclass(frozen=True, kw_only=True)
class Mamba2Options:
    expand: int = option(2, search=(1, 2), help="channels that carry states, over d_model")
    d_state: int = option(64, search=(16, 32, 64), help="states of a channel")
    n_heads: int = option(4, search=(2, 4, 8), help="rates of forgetting; divides expand * d_model")
    kernel: int = option(4, search=(2, 4), help="tokens that the filter sees, the present one included")

    def check(self, d_model: int) -> None:
        for name in ("expand", "d_state", "n_heads", "kernel"):
            if getattr(self, name) < 1:
                raise LayoutError(f"mamba2[{name}={getattr(self, name)}] must be at least 1")
        if (d_inner := self.expand * d_model) % self.n_heads:
            raise LayoutError(f"mamba2[n_heads={self.n_heads}] must divide expand * d = {d_inner}")


def mamba2_cost(d_model: int, options: Mamba2Options, seq_len: int) -> Cost:
    """Cost with the padding of the last chunk, which is computed too."""
    d_inner, d_state, n_heads = options.expand * d_model, options.d_state, options.n_heads
    filtered = d_inner + 2 * d_state
    matrices = d_model * (d_inner + filtered + n_heads) + d_inner * d_model
    n_chunks, length = chunks(seq_len)
    within = n_chunks * length**2 * (d_state + d_inner)
    between = 2 * (n_chunks - 1) * length * d_state * d_inner  # written and read
    pairs = n_heads * n_chunks * length**2
    return Cost(
        n_params=matrices + filtered * (options.kernel + 1) + 3 * n_heads + d_inner,  # A, Δ's bias, D; the norm's gain
        matmul_flops=2 * (seq_len * (matrices + filtered * options.kernel) + within + between),
        other_flops=4 * pairs + seq_len * (14 * d_inner + 6 * d_state),
        # z and what is filtered, padded, filtered, silu; u Δ, y, with D u, silu(z), product, normed; decays and scores
        activations=seq_len * (8 * d_inner + 4 * filtered) + 2 * pairs + n_chunks * length**2,
        state_size=(options.kernel - 1) * filtered + d_state * d_inner,
    )


@register_block("mamba2", role="sequence", summary="SSD, one decay per head", options=Mamba2Options, cost=mamba2_cost)
class Mamba2(Mixer):
    def __init__(self, d_model: int, options: Mamba2Options) -> None:
        super().__init__(d_model, options)
        self.d_inner, self.d_state, self.n_heads = options.expand * d_model, options.d_state, options.n_heads
        self.past, filtered = options.kernel - 1, self.d_inner + 2 * options.d_state
        self.in_proj = nn.Linear(d_model, self.d_inner + filtered + options.n_heads, bias=False)
        self.filter = nn.Conv1d(filtered, filtered, options.kernel, groups=filtered)
        self.dt_bias = nn.Parameter(inverse_softplus(log_uniform(options.n_heads, DT_MIN, DT_MAX)))
        self.A_log = nn.Parameter(torch.empty(options.n_heads).uniform_(1, FASTEST).log())
        self.D = nn.Parameter(torch.ones(options.n_heads))
        for dynamics in (self.dt_bias, self.A_log, self.D):  # read by growth: a time constant is never extrapolated
            dynamics.copied_at_growth = True  # type: ignore[attr-defined]
        self.norm = nn.RMSNorm(self.d_inner, eps=NORM_EPS)
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._mixed(x_BTD, self._nothing_seen(x_BTD.shape[0]), None)[0]

    def initial_state(self, batch: int) -> State:
        weight, shape = self.filter.weight, (batch, self.n_heads, self.d_state, self.d_inner // self.n_heads)
        return (self._nothing_seen(batch), torch.zeros(shape, device=weight.device, dtype=wide(weight.dtype)))

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Read the next tokens; the state is what the filter still sees, the last kernel - 1 tokens, and S."""
        y_BTD, seen_BGS, memory_BHNP = self._mixed(x_BTD, *state)
        assert memory_BHNP is not None
        return y_BTD, (seen_BGS, memory_BHNP)

    def _nothing_seen(self, batch: int) -> Tensor:
        weight = self.filter.weight
        return torch.zeros(batch, len(weight), self.past, device=weight.device, dtype=weight.dtype)

    def _mixed(
        self, x_BTD: Tensor, seen_BGS: Tensor, memory_BHNP: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        widths = [self.d_inner, len(self.filter.weight), self.n_heads]
        z_BTE, entering_BTG, delta_BTH = torch.split(padded_linear(self.in_proj, x_BTD), widths, dim=-1)
        filtered_BTG, seen_BGS = causal_filter(self.filter, entering_BTG, seen_BGS, silu=True)
        y_BTE, memory_BHNP = self._scanned(filtered_BTG, delta_BTH, memory_BHNP)
        with without_autocast(x_BTD.device):
            normed_BTE = self.norm((y_BTE * F.silu(z_BTE.to(y_BTE.dtype))).to(self.norm.weight.dtype))
        y_BTD: Tensor = self.out_proj(normed_BTE.to(z_BTE.dtype))
        return y_BTD, seen_BGS, memory_BHNP

    def _scanned(
        self, filtered_BTG: Tensor, delta_BTH: Tensor, memory_BHNP: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Output y and the memory S, in fp32 at least."""
        with without_autocast(filtered_BTG.device):
            to = wide(filtered_BTG.dtype)
            u_BTE, b_BTN, c_BTN = torch.split(filtered_BTG, [self.d_inner, self.d_state, self.d_state], dim=-1)
            u_BHTP = u_BTE.view(*u_BTE.shape[:2], self.n_heads, -1).transpose(1, 2)
            dt_BHT = F.softplus(delta_BTH.to(to) + self.dt_bias.to(to)).transpose(1, 2)
            log_decay_BHT = dt_BHT * -self.A_log.to(to).exp()[:, None]
            y_BHTP, memory_BHNP = remember(
                c_BTN[:, None], b_BTN[:, None], u_BHTP, log_decay_BHT, memory_BHNP, dt_BHT, self.D.to(to)
            )
            return y_BHTP.transpose(1, 2).flatten(2), memory_BHNP
