"""A head that remembers which token followed what, in this text: fast weights from the stream to the vocabulary.

    logits_t = W x_t + scale · H_t n_t,   n_t = x_t / rms(x_t)
    H_t = decay · H_{t-1} + rate · 1(token_t) n_{t-1}ᵀ,   H_0 = 0

H is written when it is known what came, so the prediction after token t knows the pairs up to (n_{t-1}, token_t) and
none after it. It is a state, one for each sequence: nothing of it is shared in a batch, it starts empty with each
text, it is not a weight and is saved with none. Its norm stays below rate · √D / (1 - decay). A whole text, as in
training, is read pair by pair instead, (n_t · n_s) for every s < t, which is the same function; gradients pass through
it: what is written is learnt to be worth reading.

Source: the founding project AETHER meant this; its trace was one for the whole batch, was written in training only,
from the model's own guesses, and was saved with the weights. The rule is Hebb's, with decay.

Legend: B batch, T tokens, D d_model, V vocabulary.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from growlab.blocks.base import NORM_EPS, State, wide, without_autocast
from growlab.blocks.decaying_memory import remember
from growlab.blocks.parts import Head
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_part


@dataclass(frozen=True, kw_only=True)
class HebbianHeadOptions:
    scale: float = option(0.1, search=(0.1, 1.0), help="of what the memory adds to the logits; 0: nothing")
    rate: float = option(0.01, search=(0.01, 0.03), help="η: how much one token writes")
    decay: float = option(0.99, search=(0.9, 0.99, 0.999), help="what is left of the memory from token to token")

    def check(self, d_model: int) -> None:
        if not 0 <= self.scale <= 100:
            raise LayoutError(f"hebbian_head[scale={self.scale}] must be between 0 and 100")
        if not 0 <= self.rate <= 1:
            raise LayoutError(f"hebbian_head[rate={self.rate}] must be between 0 and 1")
        if not 0 < self.decay < 1:
            raise LayoutError(f"hebbian_head[decay={self.decay}] must be greater than 0 and below 1")


def hebbian_head_cost(d_model: int, options: HebbianHeadOptions, seq_len: int, vocab_size: int) -> Cost:
    """Cost of the memory alone; the tied head's product is counted elsewhere.

    Training is charged three times this, though
    nothing needs a gradient of which token came."""
    pairs = seq_len**2
    return Cost(
        n_params=0,
        matmul_flops=2 * pairs * (d_model + vocab_size),
        other_flops=4 * pairs + 4 * seq_len * (d_model + vocab_size),
        activations=seq_len * (3 * d_model + 2 * vocab_size) + 2 * pairs,
        state_size=d_model * (vocab_size + 1),
    )


@register_part(
    "hebbian_head",
    role="head",
    summary="a memory of which token followed what, written while decoding",
    options=HebbianHeadOptions,
    cost=hebbian_head_cost,
)
class HebbianHead(Head):
    here: Tensor

    def __init__(self, d_model: int, options: HebbianHeadOptions, vocab_size: int) -> None:
        super().__init__()
        self.d_model, self.options, self.vocab_size = d_model, options, vocab_size
        self.register_buffer("here", torch.empty(0), persistent=False)  # tells the model's device and dtype

    def initial_state(self, batch: int) -> State:
        """The state without memory and before the first token: (B, D, V) and (B, 1, D), fp32 at least."""
        zeros = partial(torch.zeros, device=self.here.device, dtype=wide(self.here.dtype))
        return zeros(batch, self.d_model, self.vocab_size), zeros(batch, 1, self.d_model)

    def forward(
        self,
        x_BTD: Float[Tensor, "B T D"],
        ids_BT: Int[Tensor, "B T"],
        logits_BTV: Float[Tensor, "B T V"],
    ) -> Float[Tensor, "B T V"]:
        """Add what every pair of tokens says, all at once: no memory of D × V is made."""
        with without_autocast(x_BTD.device):
            n_BTD = normalised(x_BTD)
            before_BTD = F.pad(n_BTD, (0, 0, 1, 0))[:, :-1]
            at_T = torch.arange(x_BTD.shape[1], device=x_BTD.device, dtype=n_BTD.dtype)
            ago_TT = (at_T[:, None] - at_T).clamp(min=0)
            kept_TT = (math.log(self.options.decay) * ago_TT).exp().tril() * (self.options.scale * self.options.rate)
            scores_BTT = n_BTD @ before_BTD.transpose(1, 2) * kept_TT
            return logits_BTV + scores_BTT @ F.one_hot(ids_BT, self.vocab_size).to(n_BTD.dtype)

    def advance(
        self,
        x_BTD: Float[Tensor, "B T D"],
        ids_BT: Int[Tensor, "B T"],
        logits_BTV: Float[Tensor, "B T V"],
        state: State,
    ) -> tuple[Float[Tensor, "B T V"], State]:
        memory_BDV, last_B1D = state
        with without_autocast(x_BTD.device):
            n_BTD = normalised(x_BTD)
            to = n_BTD.dtype
            before_BTD = torch.cat((last_B1D.to(to), n_BTD[:, :-1]), dim=1)
            came_BTV = F.one_hot(ids_BT, self.vocab_size).to(to) * self.options.rate
            log_decay_B1T = n_BTD.new_full((len(n_BTD), 1, n_BTD.shape[1]), math.log(self.options.decay))
            read_B1TV, memory = remember(
                n_BTD[:, None], before_BTD[:, None], came_BTV[:, None], log_decay_B1T, memory_BDV[:, None].to(to)
            )
            assert memory is not None
            logits_BTV = logits_BTV + self.options.scale * read_B1TV[:, 0]
        return logits_BTV, (memory[:, 0], n_BTD[:, -1:])


def normalised(x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """The normalised stream n, fp32 at least."""
    return F.rms_norm(x_BTD.to(wide(x_BTD.dtype)), x_BTD.shape[2:], eps=NORM_EPS)
