"""Modern Hopfield retrieval: a token's state falls, step by step, towards the stored patterns that it resembles most.

    ξ_0 = W_q x_t;  X_t = the learnt bank, then W_k x_1 … W_k x_t;  V_t = the bank's values, then W_v x_1 … W_v x_t
    ξ_k = X_tᵀ softmax(β X_t ξ_{k-1})  for k = 1 … n_updates - 1;  out = W_out V_tᵀ softmax(β X_t ξ_{n_updates - 1})

for every head, with a β = exp(log_beta) of its own that is learnt, at first 1/√E. Patterns are rows of X. The last
update reads values where the ones before read patterns, as in the paper's layer: its weights are those of an update,
and the state they would make is not needed. So one update without a bank is causal softmax attention, of scale β,
without positions. A state and its patterns share one space, in which no update raises the energy

    E(ξ) = -1/β ln Σ_i exp(β x_iᵀ ξ) + ½ ξᵀξ

as each is a step of the concave-convex procedure. A token's patterns stay the same while it is updated: those of the
bank, which is what is remembered before the first token, and those of no token after it. The greater β, the nearer a
state comes to one pattern; at a small β it falls to an average of many, and what W_q learns shrinks with each update.
Nothing here knows positions: the order of earlier tokens does not matter. Each update is one call of fused attention,
in which scores and softmax are fp32 under autocast too where a fused kernel serves. Dropout acts on the weights of the
last update.

`incremental` is the classic memory instead, an outer product for each pattern, running along the text:

    M_t = Σ_bank x vᵀ + Σ_{s≤t} x_s v_sᵀ,   out = W_out M_tᵀ β ξ_0 / (N + t)

It reads in one step, without a softmax and so less sharply, from a state whose size does not grow with the text, and
takes time linear in T, in chunks.

Sources: Ramsauer et al. 2020, "Hopfield Networks is All You Need": its energy (without constants), its update and its
layer; the values' own projection and the bank are its code's; Hopfield 1982 for the incremental form. The founding
hybrid of attention, SSM and Hopfield memory meant this.

Legend: B batch, T tokens, S patterns that the last token sees, D d_model, H heads, E head size, N patterns of the bank.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.attn import fused_attention
from growlab.blocks.base import Mixer, State, wide, without_autocast
from growlab.blocks.decaying_memory import chunks
from growlab.blocks.decaying_memory import remember as running_memory
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class HopfieldOptions:
    n_heads: int = option(4, search=(2, 4, 8), help="memories side by side; divides d_model")
    n_updates: int = option(1, search=(1, 2, 3), help="steps of a retrieval; the last one reads values")
    n_stored: int = option(16, search=(0, 16, 64), help="learnt patterns of a head that every token sees")
    incremental: bool = option(
        False, search=(False, True), help="a running outer product of patterns and values, read in one step"
    )

    def check(self, d_model: int) -> None:
        if self.n_heads < 1 or d_model % self.n_heads:
            raise LayoutError(
                f"hopfield[n_heads={self.n_heads}] does not fit d={d_model}: d must be a multiple of n_heads"
            )
        if self.n_updates < 1:
            raise LayoutError(f"hopfield[n_updates={self.n_updates}] must be at least 1, the step that reads values")
        if self.incremental and self.n_updates > 1:
            raise LayoutError(
                f"hopfield[incremental=true,n_updates={self.n_updates}]: a running memory is read in one step; leave "
                "n_updates at 1 or incremental out"
            )
        if self.n_stored < 0:
            raise LayoutError(f"hopfield[n_stored={self.n_stored}] must be at least 0, no bank")


def hopfield_cost(d_model: int, options: HopfieldOptions, seq_len: int) -> Cost:
    """Cost that charges all pairs of a token and a pattern to each update: a mask saves nothing in the MATH backend."""
    if options.incremental:
        return _running_cost(d_model, options, seq_len)
    n_patterns = options.n_stored + seq_len
    n_pairs = seq_len * n_patterns
    remembered = 2 * n_patterns * d_model  # patterns and values
    return Cost(
        n_params=4 * d_model * d_model + 2 * options.n_stored * d_model + options.n_heads,
        matmul_flops=2 * seq_len * 4 * d_model * d_model + options.n_updates * 4 * n_pairs * d_model,
        other_flops=0,
        # the projection, of each update β ξ and what it retrieves, heads side by side; behind a bank all patterns again
        activations=seq_len * (4 + 2 * options.n_updates) * d_model + (remembered if options.n_stored else 0),
        state_size=remembered,
        # the last update's weights, what dropout left of them and its mask of a byte each; β ξ and X: a fused kernel
        # keeps less
        dropped_activations=9 * options.n_heads * n_pairs // 4 + (seq_len + n_patterns) * d_model,
    )


def _running_cost(d_model: int, options: HopfieldOptions, seq_len: int) -> Cost:
    """Cost of the running memory, with the padding of the last chunk, which is computed too."""
    head_dim = d_model // options.n_heads
    n_chunks, length = chunks(seq_len)
    pairs = n_chunks * length**2
    within, between = 2 * pairs * d_model, 2 * (n_chunks - 1) * length * head_dim * d_model
    from_bank = 2 * seq_len * options.n_stored * d_model
    return Cost(
        n_params=4 * d_model * d_model + 2 * options.n_stored * d_model + options.n_heads,
        matmul_flops=2 * (seq_len * 4 * d_model * d_model + within + between + from_bank),
        other_flops=options.n_heads * pairs + 3 * seq_len * d_model,
        # the projection and copies of its parts, β ξ, what is read, of the bank too, and side by side; scores and masks
        activations=seq_len * (10 * d_model + 2 * options.n_heads * options.n_stored) + 2 * options.n_heads * pairs,
        state_size=d_model * head_dim + 1,
    )


@register_block(
    "hopfield",
    role="sequence",
    summary="modern Hopfield retrieval from earlier tokens and a learnt bank",
    options=HopfieldOptions,
    cost=hopfield_cost,
)
class Hopfield(Mixer):
    def __init__(self, d_model: int, options: HopfieldOptions) -> None:
        super().__init__(d_model, options)
        self.n_heads, self.n_updates, self.n_stored = options.n_heads, options.n_updates, options.n_stored
        self.incremental = options.incremental
        self.head_dim = d_model // options.n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.log_beta = nn.Parameter(torch.full((self.n_heads,), -0.5 * math.log(self.head_dim)))
        self.log_beta.no_decay = True  # type: ignore[attr-defined]  # read by the optimizer: decay would mean β → 1
        self.log_beta.copied_at_growth = True  # type: ignore[attr-defined]  # read by growth: a rate is not a weight
        self.bank_patterns = nn.Parameter(self._drawn()) if options.n_stored else None
        self.bank_values = nn.Parameter(self._drawn()) if options.n_stored else None
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def _drawn(self) -> Float[Tensor, "H N E"]:
        """Draw a bank of the variance that build_block gives projections of normalised tokens."""
        return torch.randn(self.n_heads, self.n_stored, self.head_dim) / math.sqrt(3)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        if self.incremental:
            return self._run_along(x_BTD, None, None)[0]
        return self.advance(x_BTD, self.initial_state(x_BTD.shape[0]))[0]

    def initial_state(self, batch: int) -> State:
        if self.incremental:
            like, shape = self.qkv.weight, (batch, self.n_heads, self.head_dim, self.head_dim)
            to = wide(like.dtype)
            return like.new_zeros(shape, dtype=to), like.new_zeros((batch, 1, 1, 1), dtype=to)
        if self.bank_patterns is not None and self.bank_values is not None:
            return self.bank_patterns.expand(batch, -1, -1, -1), self.bank_values.expand(batch, -1, -1, -1)
        weight = self.qkv.weight
        empty = torch.empty(batch, self.n_heads, 0, self.head_dim, device=weight.device, dtype=weight.dtype)
        return (empty, empty)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Read the next tokens.

        The state is all patterns so far and their values, those of the bank first; of the running memory M and t.
        """
        if self.incremental:
            memory, n_before = state
            read_BTD, memory_after = self._run_along(x_BTD, memory, n_before)
            assert memory_after is not None
            return read_BTD, (memory_after, n_before + x_BTD.shape[1])
        B, T, _ = x_BTD.shape
        xi_BHTE, new_BHTE, read_BHTE = self._heads(x_BTD)
        x_BHSE, v_BHSE = remember(state[0], new_BHTE), remember(state[1], read_BHTE)
        retrieved_BHTE = self.retrieve(xi_BHTE, x_BHSE, v_BHSE)
        y_BTD: Tensor = self.out_proj(retrieved_BHTE.transpose(1, 2).reshape(B, T, -1))
        return y_BTD, (x_BHSE, v_BHSE)

    def _run_along(
        self, x_BTD: Tensor, memory_BHEE: Tensor | None, n_before: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Read the running memory along; return what each reads, and the memory after them, in fp32 at least."""
        heads = self._heads(x_BTD)
        with without_autocast(x_BTD.device):
            to = wide(heads[0].dtype)
            xi_BHTE, x_BHTE, v_BHTE = heads
            xi_BHTE = xi_BHTE.to(to) * self.log_beta.to(to).exp()[:, None, None]
            no_decay_BHT = xi_BHTE.new_zeros(xi_BHTE.shape[:3])
            read_BHTE, memory = running_memory(xi_BHTE, x_BHTE, v_BHTE, no_decay_BHT, memory_BHEE)
            if self.bank_patterns is not None and self.bank_values is not None:
                scores_BHTN = xi_BHTE @ self.bank_patterns.to(to).transpose(1, 2)
                read_BHTE = read_BHTE + scores_BHTN @ self.bank_values.to(to)
            n_T1 = torch.arange(1, x_BTD.shape[1] + 1, device=x_BTD.device, dtype=to)[:, None]
            n_seen = self.n_stored + n_T1 if n_before is None else self.n_stored + n_T1 + n_before
            read_BTD = (read_BHTE / n_seen).transpose(1, 2).flatten(2)
        y_BTD: Tensor = self.out_proj(read_BTD.to(heads[0].dtype))
        return y_BTD, memory

    def _heads(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """First states, patterns and values of tokens, each (B, H, T, E)."""
        B, T, _ = x_BTD.shape
        xi_BHTE, x_BHTE, v_BHTE = self.qkv(x_BTD).view(B, T, 3, self.n_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        return xi_BHTE, x_BHTE, v_BHTE

    def retrieve(
        self, xi_BHTE: Float[Tensor, "B H T E"], x_BHSE: Float[Tensor, "B H S E"], v_BHSE: Float[Tensor, "B H S E"]
    ) -> Float[Tensor, "B H T E"]:
        """Update the states of the last T tokens n_updates times; the last T of the S patterns are theirs."""
        n_tokens, n_patterns = xi_BHTE.shape[2], x_BHSE.shape[2]
        causal, mask_TS = bool(n_tokens == n_patterns), None  # a bool where torch.export knows lengths as symbols
        if not causal and n_tokens > 1:  # one token sees all
            seen_TS = torch.ones(n_tokens, n_patterns, dtype=torch.bool, device=xi_BHTE.device)
            mask_TS = seen_TS.tril(n_patterns - n_tokens)
        for _ in range(self.n_updates - 1):
            xi_BHTE = self._update(xi_BHTE, x_BHSE, x_BHSE, causal, mask_TS)
        return self._update(xi_BHTE, x_BHSE, v_BHSE, causal, mask_TS, self.p_dropout if self.training else 0.0)

    def _update(
        self,
        xi_BHTE: Tensor,
        x_BHSE: Tensor,
        read_BHSE: Tensor,
        causal: bool,
        mask_TS: Tensor | None,
        p_dropout: float = 0.0,
    ) -> Tensor:
        """Update states once: readᵀ softmax(β X ξ).

        As β is learnt it goes into the state, not into the kernel's scale.
        """
        to = wide(xi_BHTE.dtype)
        scaled_BHTE = (xi_BHTE.to(to) * self.log_beta.to(to).exp()[:, None, None]).to(xi_BHTE.dtype)
        return fused_attention(
            scaled_BHTE, x_BHSE, read_BHSE, attn_mask=mask_TS, dropout_p=p_dropout, is_causal=causal, scale=1.0
        )


def remember(known_BHSE: Float[Tensor, "B H S E"], new_BHTE: Float[Tensor, "B H T E"]) -> Float[Tensor, "B H S+T E"]:
    """Append new patterns to those that are known; no copy where none are."""
    return torch.cat((known_BHSE.to(new_BHTE.dtype), new_BHTE), 2) if known_BHSE.shape[2] else new_BHTE
