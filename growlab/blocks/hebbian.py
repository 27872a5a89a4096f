"""Hebbian fast weights: a matrix of its own for each head, written and forgotten as the text is read.

    q, k = φ(W_q x), φ(W_k x),  v = W_v x,  φ(x) = elu(x) + 1
    λ_t = α σ(w_λ · x_t + b),  η_t = σ(w_η · x_t)
    W_t = λ_t W_{t-1} + η_t k_t v_tᵀ,  z_t = λ_t z_{t-1} + η_t k_t,  y_t = W_tᵀ q_t / (q_t · z_t),  out = W_out y

What is read is a mean of the values, weighted by how well their keys fit and by how little of them is forgotten. How
fast that goes is up to each token; at the start, where x says nothing, half of it is left after 4 to 256 tokens, from
head to head. No positions: an earlier token differs from a later one by what is left of it. Memory, rates and quotient
are fp32 under autocast too.

With the delta rule a key that comes again overwrites what it reads, where it added to it:

    q, k = φ(W_q x), φ(W_k x),  φ(x) = silu(x) / |silu(x)|
    W_t = λ_t W_{t-1} + η_t k_t (v_t - (λ_t W_{t-1})ᵀ k_t)ᵀ,  y_t = W_tᵀ q_t

As keys have length 1 and 0 < η < 1, W only shrinks by what is corrected, so that no normaliser is needed.

The plasticity α makes every head forget faster. A training may change it as it goes (`set_plasticity`): it lies in a
tensor that is filled anew, as a recorded or compiled step reads it where it was.

Sources: Schmidhuber 1992, "Learning to Control Fast-Weight Memories"; Katharopoulos et al. 2020, "Transformers are
RNNs" (φ and z); Yang et al. 2024, "Gated Linear Attention" (decays that depend on the token); Yang et al. 2025, "Gated
Delta Networks". The founding AGIFORMER meant this; its clamp on exponents turned fast forgetting into none, and without
it the sums overflowed.

Legend: B batch, T tokens, D d_model, H heads, E head size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Mixer, State, wide, without_autocast
from growlab.blocks.decaying_memory import chunks, remember_weighed
from growlab.blocks.delta_memory import padded_length, revise, revision_products
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block

HALF_LIVES = 4.0, 256.0  # tokens, of the first head and the last, when a block is new
_EPS = 1e-6  # of a normaliser or a length that would be 0


@dataclass(frozen=True, kw_only=True)
class HebbianOptions:
    n_heads: int = option(4, search=(2, 4, 8), help="memories; divides d_model")
    plasticity: float = option(
        1.0, search=(0.5, 0.99, 1.0), help="α: every decay is multiplied by it; above 0, at most 1"
    )
    delta: bool = option(False, search=(False, True), help="overwrite what a key reads already, not add to it")

    def check(self, d_model: int) -> None:
        if self.n_heads < 1 or d_model % self.n_heads:
            raise LayoutError(f"hebbian[n_heads={self.n_heads}] must divide d={d_model}")
        if not 0 < self.plasticity <= 1:
            raise LayoutError(f"hebbian[plasticity={self.plasticity}] must be greater than 0 and at most 1")


def hebbian_cost(d_model: int, options: HebbianOptions, seq_len: int) -> Cost:
    """Cost with the padding of the last chunk, which is computed too.

    Of sums, the normaliser is one more column of the values.
    """
    n_heads, head_dim = options.n_heads, d_model // options.n_heads
    n_chunks, length = chunks(seq_len)
    projections = d_model * (3 * d_model + 2 * n_heads) + d_model * d_model
    pairs = n_heads * n_chunks * length**2
    if options.delta:
        products = revision_products(seq_len, n_heads, head_dim)
        other_flops = 8 * pairs + 30 * seq_len * d_model
        # projected, φ's steps, weighted and decayed keys and values, what is new and met; decays, scores and what the
        # inverse is joined of, each as it is multiplied; memories
        pairs += n_heads * n_chunks * padded_length(length) ** 2
        activations = 20 * seq_len * d_model + 4 * pairs + 6 * (n_chunks - 1) * d_model * head_dim
    else:
        within = n_chunks * length**2 * (d_model + d_model + n_heads)
        between = 2 * (n_chunks - 1) * length * head_dim * (d_model + n_heads)  # written and read
        products = within + between
        other_flops = 4 * pairs + 20 * seq_len * d_model
        # projected, φ's inputs and outputs, values with ones, what is read and its quotient; decays and scores
        activations = seq_len * 11 * d_model + 3 * pairs
    return Cost(
        n_params=projections + n_heads,
        matmul_flops=2 * (seq_len * projections + products),
        other_flops=other_flops,
        activations=activations,
        state_size=d_model * (head_dim + (not options.delta)),
    )


@register_block(
    "hebbian",
    role="sequence",
    summary="fast-weight memory that forgets at a rate of each token",
    options=HebbianOptions,
    cost=hebbian_cost,
)
class Hebbian(Mixer):
    def __init__(self, d_model: int, options: HebbianOptions) -> None:
        super().__init__(d_model, options)
        self.n_heads, self.head_dim = options.n_heads, d_model // options.n_heads
        self.delta = options.delta
        self.in_proj = nn.Linear(d_model, 3 * d_model + 2 * options.n_heads, bias=False)
        self.decay_bias = nn.Parameter(_decay_bias(options.n_heads))
        self.decay_bias.no_decay = True  # type: ignore[attr-defined]  # read by the optimizer
        self.decay_bias.copied_at_growth = True  # type: ignore[attr-defined]  # read by growth
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.log_plasticity: Tensor
        self.register_buffer("log_plasticity", torch.zeros(()), persistent=False)  # the layout tells it
        self.set_plasticity(options.plasticity)

    def set_plasticity(self, plasticity: float) -> None:
        """Forget at this α from the next token on. It is set in place, so that a recorded step reads it."""
        self.plasticity = plasticity
        self.log_plasticity.fill_(math.log(plasticity))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Hebbian":
        """Move and cast as nn.Module does; ln α is then as exact as the new type can have it."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.set_plasticity(self.plasticity)
        return self

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._recalled(x_BTD, None)[0]

    def initial_state(self, batch: int) -> State:
        weight, columns = self.in_proj.weight, self.head_dim + (not self.delta)
        shape = (batch, self.n_heads, self.head_dim, columns)
        return (torch.zeros(shape, device=weight.device, dtype=wide(weight.dtype)),)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Read and write the next tokens; the state is W, with z as its last column where there is one."""
        y_BTD, memory = self._recalled(x_BTD, state[0])
        assert memory is not None
        return y_BTD, (memory,)

    def _recalled(self, x_BTD: Tensor, memory: Tensor | None) -> tuple[Tensor, Tensor | None]:
        D, H = x_BTD.shape[2], self.n_heads
        qkv_BTD, rates_BTH = self.in_proj(x_BTD).split((3 * D, 2 * H), dim=-1)
        with without_autocast(x_BTD.device):
            to = wide(qkv_BTD.dtype)
            q_BHTE, k_BHTE, v_BHTE = qkv_BTD.unflatten(2, (3, H, -1)).permute(2, 0, 3, 1, 4).unbind(0)
            q_BHTE, k_BHTE = q_BHTE.to(to), k_BHTE.to(to)
            decay_BHT, strength_BHT = rates_BTH.to(to).transpose(1, 2).chunk(2, dim=1)
            log_decay_BHT = F.logsigmoid(decay_BHT + self.decay_bias.to(to)[:, None]) + self.log_plasticity.to(to)
            read = _corrected if self.delta else _averaged
            y_BHTE, memory = read(q_BHTE, k_BHTE, v_BHTE, log_decay_BHT, strength_BHT.sigmoid(), memory)
        y_BTD: Tensor = self.out_proj(y_BHTE.transpose(1, 2).flatten(2).to(qkv_BTD.dtype))
        return y_BTD, memory


def _averaged(
    q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, log_decay_BHT: Tensor, strength_BHT: Tensor, memory: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Output y and the memory of sums, from what was projected."""
    k_BHTE = (F.elu(k_BHTE) + 1) * strength_BHT[..., None]
    read_BHTE, weight_BHT, memory = remember_weighed(F.elu(q_BHTE) + 1, k_BHTE, v_BHTE, log_decay_BHT, memory)
    return read_BHTE / (weight_BHT[..., None] + _EPS), memory


def _corrected(
    q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, log_decay_BHT: Tensor, strength_BHT: Tensor, memory: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Output y and the memory of the delta rule, from what was projected."""
    q_BHTE, k_BHTE = (F.normalize(F.silu(tensor), dim=-1, eps=_EPS) for tensor in (q_BHTE, k_BHTE))
    return revise(q_BHTE, k_BHTE, v_BHTE, log_decay_BHT, strength_BHT, memory)


def _decay_bias(n_heads: int) -> Tensor:
    """Biases b with σ(b)^n = 1/2 after n tokens, n from the shortest half-life to the longest, evenly in logarithms."""
    shortest, longest = map(math.log, HALF_LIVES)
    decay_H = torch.exp(-math.log(2) / torch.linspace(shortest, longest, n_heads).exp())
    return torch.logit(decay_H)
