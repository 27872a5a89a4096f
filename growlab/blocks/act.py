"""Adaptive computation: the same blocks again and again, until each token has had enough.

    s_0 = x,  s_n = blocks(s_{n-1}),  h_n = sigmoid(w · s_n + b)
    N = the first n with h_1 + … + h_n ≥ 1 - ε, or `most`;   p_n = h_n for n < N,  p_N = R = 1 - Σ_{n<N} h_n
    y = Σ_n p_n (s_n - x),   added to the training loss: ponder · mean(N + R)

The weights p of a token sum to 1. A token that has halted stays as it is, s_n = s_N, and later tokens see it so. When
all tokens are there at once every round is computed and a mask keeps what has halted; a single token that has halted
while text is written only leaves what later tokens need of it (`absorb`). Both are the same function.

What the blocks themselves add to the training loss counts once, as the mean over the rounds.

The blocks have norms and residual sums of their own; they start from the normalised stream. Nothing drops out of their
outputs: this block's output does.

Source: Graves 2016, "Adaptive Computation Time for Recurrent Neural Networks"; over tokens in parallel, Dehghani et al.
2018, "Universal Transformers". The founding project AGIFORMER meant this; it never halted.

Legend: B batch, T tokens, D d_model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.blocks.base import Block, Penalty, State, total, wide
from growlab.blocks.nest import Nest, joined, sum_of
from growlab.errors import LayoutError
from growlab.kinds import Cost, Nesting, option, register_nest

MOST_ROUNDS = 64  # of blocks that run in rounds of rounds, too
NEARLY = 0.01  # ε: a token halts a little before its weights sum to 1, so that one round can be enough


@dataclass(frozen=True, kw_only=True)
class ActOptions:
    most: int = option(3, search=(2, 3, 4), help="rounds at most; a training step computes all of them")
    ponder: float = option(0.01, search=(0.0, 0.01, 0.1), help="price of a round, in nats")

    def check(self, d_model: int) -> None:
        if not 2 <= self.most <= MOST_ROUNDS:
            raise LayoutError(
                f"act[most={self.most}] must be between 2 and {MOST_ROUNDS}; with one round nothing could halt"
            )
        if not 0 <= self.ponder <= 100:
            raise LayoutError(f"act[ponder={self.ponder}] must be between 0 and 100")


def act_cost(d_model: int, options: ActOptions, seq_len: int, branches: Sequence[Sequence[Cost]]) -> Cost:
    """Cost of all rounds, as in training. The last one needs no halting: it is the end."""
    inner, asked = sum_of(branches), options.most - 1
    return Cost(
        n_params=inner.n_params + d_model + 1,
        matmul_flops=options.most * inner.matmul_flops + asked * 2 * seq_len * d_model,
        other_flops=options.most * inner.other_flops,
        # of each round also how far the state has moved
        activations=options.most * (inner.activations + seq_len * (d_model + 4)),
        state_size=options.most * inner.state_size,
        dropped_activations=options.most * inner.dropped_activations,
        constant_flops=options.most * inner.constant_flops,
    )


@register_nest(
    "act",
    nesting=Nesting(example="attn mlp", branches=(1, 1), length=(1, 8), whole=True),
    summary="blocks run again and again, until each token halts",
    options=ActOptions,
    cost=act_cost,
)
class Act(Nest):
    n_rounds: int  # of the blocks that run most often

    def __init__(self, d_model: int, options: ActOptions, branches: Sequence[Sequence[Block]]) -> None:
        super().__init__(d_model, options, branches)
        inner = [module.n_rounds for module in self.inner.modules() if isinstance(module, Act)]
        self.n_rounds = options.most * max(inner, default=1)
        if self.n_rounds > MOST_ROUNDS:
            raise LayoutError(f"act in act makes {self.n_rounds} rounds, at most {MOST_ROUNDS} are allowed; lower most")
        self.most, self.ponder = options.most, options.ponder
        self.halt = nn.Linear(d_model, 1)
        nn.init.zeros_(self.halt.bias)

    @property
    def blocks(self) -> list[Block]:
        return list(self.inner)  # type: ignore[arg-type]

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.forward_with_penalty(x_BTD)[0]

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        rounds, penalties = self._all_rounds(x_BTD)
        held = total(penalties)
        return rounds.y_BTD, total([self.ponder * rounds.ponder_BT1.mean(), None if held is None else held / self.most])

    def _all_rounds(self, x_BTD: Tensor) -> tuple["Rounds", list[Penalty]]:
        """Run every round of all tokens; return what they gathered, and the blocks' penalties in each."""
        rounds, s_BTD, penalties = Rounds(x_BTD), x_BTD, list[Penalty]()
        for last in self._lasts():
            for block in self.blocks:
                mixed_BTD, penalty = block.mixer.forward_with_penalty(block.norm(s_BTD))
                s_BTD = s_BTD + (rounds.running_BT1 * mixed_BTD).to(s_BTD.dtype)
                penalties.append(penalty)
            rounds.add(s_BTD, None if last else self.halt(s_BTD))
        return rounds, penalties

    def initial_state(self, batch: int) -> State:
        """The states of the blocks before the first token, for every round."""
        return self.most * super().initial_state(batch)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        rounds, s_BTD = Rounds(x_BTD), x_BTD
        after: list[State] = []
        for states, last in zip(self._states_of_rounds(state), self._lasts(), strict=True):
            if x_BTD.shape[1] == 1 and not rounds.running_BT1.any():
                after += [self._absorb(block, s_BTD, own) for block, own in zip(self.blocks, states, strict=True)]
                continue
            for block, own in zip(self.blocks, states, strict=True):
                mixed_BTD, own = block.mixer.advance(block.norm(s_BTD), own)
                s_BTD = s_BTD + (rounds.running_BT1 * mixed_BTD).to(s_BTD.dtype)
                after.append(own)
            rounds.add(s_BTD, None if last else self.halt(s_BTD))
        return rounds.y_BTD, joined(after)

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """The mean number of rounds."""
        rounds, _ = self._all_rounds(x_BTD)
        return {"rounds": rounds.n_BT1.mean()}

    def _lasts(self) -> list[bool]:
        """Flags of the rounds: whether each is the last that there can be."""
        return [False] * (self.most - 1) + [True]

    def _states_of_rounds(self, state: State) -> list[list[State]]:
        n = len(state) // self.most
        return [self.states(state[at * n : (at + 1) * n]) for at in range(self.most)]

    def _absorb(self, block: Block, s_BTD: Tensor, state: State) -> State:
        return block.mixer.absorb(block.norm(s_BTD), state) if state else state


class Rounds:
    """The tokens that still run, and what has been gathered of each; halting is computed in fp32 at least."""

    def __init__(self, x_BTD: Float[Tensor, "B T D"]) -> None:
        self.x_BTD, self.y_BTD = x_BTD, torch.zeros_like(x_BTD)
        ones_BT1 = torch.ones_like(x_BTD[..., :1], dtype=wide(x_BTD.dtype))
        self.running_BT1 = ones_BT1  # 1 or 0
        self.left_BT1 = ones_BT1  # of the weights: 1 - Σ h
        self.n_BT1 = torch.zeros_like(ones_BT1)
        self.ponder_BT1 = torch.zeros_like(ones_BT1)  # N + R

    def add(self, s_BTD: Float[Tensor, "B T D"], logits_BT1: Float[Tensor, "B T 1"] | None) -> None:
        """Gather the states that a round has made; with None for logits nobody goes on."""
        running_BT1 = self.running_BT1
        h_BT1 = self.left_BT1 if logits_BT1 is None else logits_BT1.to(running_BT1.dtype).sigmoid()
        goes_on_BT1 = running_BT1 * (self.left_BT1 - h_BT1 > NEARLY)
        halts_BT1 = running_BT1 - goes_on_BT1
        weight_BT1 = goes_on_BT1 * h_BT1 + halts_BT1 * self.left_BT1
        self.y_BTD = self.y_BTD + weight_BT1.to(s_BTD.dtype) * (s_BTD - self.x_BTD)
        self.ponder_BT1 = self.ponder_BT1 + running_BT1 + halts_BT1 * self.left_BT1
        self.n_BT1 = self.n_BT1 + running_BT1
        self.left_BT1 = self.left_BT1 - goes_on_BT1 * h_BT1
        self.running_BT1 = goes_on_BT1
