"""Causal softmax attention with rotary positions, grouped key-value heads and, if asked for, QK-norm and a gate.

QK-norm is an RMSNorm of each head's queries and keys before they are rotated: scores stay bounded, so that a
larger learning rate can be taken. Dropout acts on the attention weights too.

The gate is one number for each head and token, taken from the token's own input x:

    y_t = W_out [g_t1 · o_t1; …; g_tH · o_tH],   g_t = sigmoid(W_g x_t),   W_g of shape (H, D)

where o_th is what head h mixed for token t. A head can so say nothing without attending to a token of no content; at
first every gate is near 1/2.

Sources: Vaswani et al. 2017; rotary positions, Su et al. 2021 (halves layout); grouped heads,
Ainslie et al. 2023; QK-norm, Henry et al. 2020 and Dehghani et al. 2023; the gate, Qiu et al. 2025, "Gated Attention
for Large Language Models: Non-linearity, Sparsity, and Attention-Sink-Free" (the headwise form there). The founding
project AGIFORMER gated its block too.

Legend: B batch, T tokens, S tokens seen so far, D d_model, H query heads, G key-value heads, E head size.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from growlab.blocks.base import NORM_EPS, Mixer, State, never_changing, wide
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block

ROPE_BASE = 10_000.0

# torch prefers cuDNN on Hopper, which is slower up to this head size: 2.5% of a step of 3.5M parameters on an H200
NARROW = 32
NOT_CUDNN = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    n_heads: int = option(4, search=(2, 4, 8), help="query heads; d_model / n_heads must be even")
    heads_per_kv: int = option(1, search=(1, 2), help="query heads that share one key-value head; divides n_heads")
    qk_norm: bool = option(False, search=(False, True), help="normalise each head's queries and keys")
    gate: bool = option(False, search=(False, True), help="weigh each head's output by a sigmoid of the token's input")

    kind: ClassVar = "attn"

    def check(self, d_model: int) -> None:
        if self.n_heads < 1 or d_model % (2 * self.n_heads):
            raise LayoutError(
                f"{self.kind}[n_heads={self.n_heads}] does not fit d={d_model}: "
                "d must be a multiple of 2 * n_heads (rotary positions turn pairs)"
            )
        if self.heads_per_kv < 1 or self.n_heads % self.heads_per_kv:
            raise LayoutError(f"{self.kind}[heads_per_kv={self.heads_per_kv}] must divide n_heads={self.n_heads}")


def attention_cost(d_model: int, options: AttentionOptions, seq_len: int) -> Cost:
    """Cost of scores and values at the full T², as the causal mask saves nothing in the MATH backend."""
    return cost_of_pairs(d_model, options, seq_len, n_pairs=seq_len**2)


def cost_of_pairs(d_model: int, options: AttentionOptions, seq_len: int, *, n_pairs: int) -> Cost:
    """Cost of attention in which so many pairs of a query and a key meet."""
    kv = 2 * d_model // options.heads_per_kv
    gates = options.n_heads if options.gate else 0  # a token's
    matrices = d_model * (d_model + kv) + d_model * gates + d_model * d_model
    normed = d_model + kv // 2 if options.qk_norm else 0  # q and k once more
    gated = d_model + gates if options.gate else 0  # the heads' output once more, and what it is weighed by
    return Cost(
        n_params=matrices + (2 * d_model // options.n_heads if options.qk_norm else 0),
        matmul_flops=2 * seq_len * matrices + 4 * n_pairs * d_model,
        other_flops=0,
        # the projection (v is a part of it), q and k after rotation, the heads' output, and side by side
        activations=seq_len * ((d_model + kv) + normed + (d_model + kv // 2) + gated + 2 * d_model),
        state_size=seq_len * kv,
        # weights, what dropout left of them and its mask of a byte each; q and k, scaled: a fused kernel keeps less
        dropped_activations=9 * options.n_heads * n_pairs // 4 + seq_len * (d_model + kv // 2),
    )


@register_block(
    "attn",
    role="sequence",
    summary="causal attention, rotary positions, grouped heads, QK-norm, gate",
    options=AttentionOptions,
    cost=attention_cost,
)
class Attention(Mixer):
    def __init__(self, d_model: int, options: AttentionOptions) -> None:
        super().__init__(d_model, options)
        self.n_heads = options.n_heads
        self.n_kv_heads = options.n_heads // options.heads_per_kv
        self.head_dim = d_model // options.n_heads
        self.qkv = nn.Linear(d_model, (self.n_heads + 2 * self.n_kv_heads) * self.head_dim, bias=False)
        self.q_norm = HeadGain(self.head_dim) if options.qk_norm else None
        self.k_norm = HeadGain(self.head_dim) if options.qk_norm else None
        self.gate = nn.Linear(d_model, self.n_heads, bias=False) if options.gate else None
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        q_BHTE, k_BGTE, v_BGTE = self._heads(x_BTD, start=0)
        return self._join(self._attend(q_BHTE, k_BGTE, v_BGTE, causal=True), x_BTD)

    def initial_state(self, batch: int) -> State:
        weight = self.qkv.weight
        empty = torch.empty(batch, self.n_kv_heads, 0, self.head_dim, device=weight.device, dtype=weight.dtype)
        return (empty, empty)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Read the next tokens; the state is the cache of rotated keys and of values."""
        start = state[0].shape[2]
        q_BHTE, k_BGTE, v_BGTE = self._heads(x_BTD, start=start)
        k_BGSE, v_BGSE = torch.cat((state[0], k_BGTE), 2), torch.cat((state[1], v_BGTE), 2)
        if start == 0:
            mixed_BHTE = self._attend(q_BHTE, k_BGSE, v_BGSE, causal=True)
        elif x_BTD.shape[1] == 1:  # one token sees all
            mixed_BHTE = self._attend(q_BHTE, k_BGSE, v_BGSE)
        else:
            mask_TS = torch.ones(x_BTD.shape[1], k_BGSE.shape[2], dtype=torch.bool, device=x_BTD.device).tril(start)
            mixed_BHTE = self._attend(q_BHTE, k_BGSE, v_BGSE, mask_TS=mask_TS)
        return self._join(mixed_BHTE, x_BTD), (k_BGSE, v_BGSE)

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        """Extend the cache alone: neither queries nor attention nor output are computed."""
        k_BTGE, v_BTGE = self._keys_and_values(x_BTD)
        k_BTGE = rotate(k_BTGE, state[0].shape[2])
        return torch.cat((state[0], k_BTGE.transpose(1, 2)), 2), torch.cat((state[1], v_BTGE.transpose(1, 2)), 2)

    def _keys_and_values(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys, normalised if asked for, not yet rotated; and values."""
        B, T, _ = x_BTD.shape
        kv_BTGE = F.linear(x_BTD, self.qkv.weight[self.n_heads * self.head_dim :]).view(B, T, -1, self.head_dim)
        k_BTGE, v_BTGE = kv_BTGE.chunk(2, dim=2)
        if self.k_norm is not None:
            k_BTGE = normalise(k_BTGE, self.k_norm.of_heads(self.n_kv_heads))
        return k_BTGE, v_BTGE

    def _heads(self, x_BTD: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries and keys, and values. Queries and keys are rotated side by side."""
        qk_BTHE, v_BTGE = self._projected(x_BTD)
        q_BTHE, k_BTGE = self._queries_and_keys(rotate(qk_BTHE, start))
        return q_BTHE.transpose(1, 2), k_BTGE.transpose(1, 2), v_BTGE.transpose(1, 2)

    def _projected(self, x_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys side by side, normalised if asked for, not yet rotated; and values."""
        B, T, _ = x_BTD.shape
        heads_BTHE = self.qkv(x_BTD).view(B, T, -1, self.head_dim)
        qk_BTHE, v_BTGE = torch.split(heads_BTHE, [self.n_heads + self.n_kv_heads, self.n_kv_heads], dim=2)
        if self.q_norm is not None and self.k_norm is not None:
            gain_HE = torch.cat((self.q_norm.of_heads(self.n_heads), self.k_norm.of_heads(self.n_kv_heads)))
            qk_BTHE = normalise(qk_BTHE, gain_HE)
        return qk_BTHE, v_BTGE

    def _queries_and_keys(self, qk_BTHE: Tensor) -> tuple[Tensor, Tensor]:
        q_BTHE, k_BTGE = torch.split(qk_BTHE, [self.n_heads, self.n_kv_heads], dim=2)
        return q_BTHE, k_BTGE

    def _attend(
        self, q_BHTE: Tensor, k_BGSE: Tensor, v_BGSE: Tensor, *, causal: bool = False, mask_TS: Tensor | None = None
    ) -> Tensor:
        return fused_attention(
            q_BHTE,
            k_BGSE,
            v_BGSE,
            attn_mask=mask_TS,
            dropout_p=self._p_of_weights,
            is_causal=causal,
            enable_gqa=self.n_kv_heads != self.n_heads,
        )

    @property
    def _p_of_weights(self) -> float:
        """The rate at which attention weights are dropped now."""
        return self.p_dropout if self.training else 0.0

    def _join(self, mixed_BHTE: Tensor, x_BTD: Tensor) -> Tensor:
        """Put the heads side by side, each weighed by its gate if there is one, and project them."""
        B, T, _ = x_BTD.shape
        mixed_BTHE = mixed_BHTE.transpose(1, 2)
        if self.gate is not None:
            mixed_BTHE = mixed_BTHE * self.gate(x_BTD).sigmoid()[..., None]
        joined: Tensor = self.out_proj(mixed_BTHE.reshape(B, T, -1))
        return joined


def fused_attention(
    q_BHTE: Float[Tensor, "B H T E"], k_BGSE: Float[Tensor, "B G S E"], v_BGSE: Float[Tensor, "B G S E"], **options: Any
) -> Float[Tensor, "B H T E"]:
    """Run torch's scaled_dot_product_attention, by the kernels that are fastest for the head size."""
    attend = partial(F.scaled_dot_product_attention, q_BHTE, k_BGSE, v_BGSE, **options)
    if q_BHTE.is_cuda and q_BHTE.shape[-1] <= NARROW:
        with sdpa_kernel(NOT_CUDNN):
            return attend()
    return attend()


class HeadGain(nn.Module):
    """The learnt gain of an RMSNorm of heads, one for all heads of a sort."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(head_dim))

    def of_heads(self, n_heads: int) -> Float[Tensor, "H E"]:
        return self.weight.expand(n_heads, -1)


def normalise(x_BTHE: Float[Tensor, "B T H E"], gain_HE: Float[Tensor, "H E"]) -> Float[Tensor, "B T H E"]:
    """Apply RMSNorm to each head; computed in fp32 at least, returned in the input's dtype."""
    to = wide(x_BTHE.dtype)
    normed_BTHE = F.rms_norm(x_BTHE.to(to), gain_HE.shape[1:], eps=NORM_EPS)
    return (normed_BTHE * gain_HE.to(to)).to(x_BTHE.dtype)


def rotate(x_BTHE: Float[Tensor, "B T H E"], start: int) -> Float[Tensor, "B T H E"]:
    """Apply rotary positions start … start + T - 1; computed in fp32 at least, returned in the input's dtype.

    With both halves of a head exchanged, the turn is two products: no half has to be cut out and put together.
    """
    B, T, H, E = x_BTHE.shape
    to = wide(x_BTHE.dtype)
    if torch.compiler.is_exporting():  # T is a symbol, for which no table is kept
        table = _turns(start + T, E, to, x_BTHE.device)
    else:
        table = _rope_constants(_round_up(start + T), E, to, x_BTHE.device)
    cos_T1E, sin_T1E = (part[start : start + T, None] for part in table)
    exchanged_BTHE = x_BTHE.reshape(B, T, H, 2, E // 2).flip(3).flatten(3)
    return (x_BTHE * cos_T1E + exchanged_BTHE * sin_T1E).to(x_BTHE.dtype)


@lru_cache(maxsize=64)
def _rope_table(n_positions: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The table of `_turns`, computed once and shared by all blocks."""
    with torch.inference_mode(False):  # a table made while text was generated must still serve training
        return _turns(n_positions, head_dim, dtype, device)


def _turns(n_positions: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tables of cos and sin, each (n_positions, head_dim), the first half of sin negative; computed in float64."""
    frequency = ROPE_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angle = torch.outer(torch.arange(n_positions, dtype=torch.float64), frequency)
    cos, sin = angle.cos().repeat(1, 2), torch.cat((-angle.sin(), angle.sin()), dim=1)
    return cos.to(device, dtype), sin.to(device, dtype)


@never_changing
def _rope_constants(n_positions: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """The cached table, behind a plain function: a compiler looks through a cache, and would make it each step."""
    return _rope_table(n_positions, head_dim, dtype, device)


def _round_up(n: int) -> int:
    """The next power of two, so that decoding makes few tables."""
    return 1 << (n - 1).bit_length()
