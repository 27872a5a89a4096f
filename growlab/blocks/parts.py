"""What stands before and after the blocks: front ends, which may let the blocks see fewer positions than there are
tokens, and heads, which add to the logits.

Legend: B batch, T tokens, N positions that the blocks see, D d_model, V vocabulary.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from growlab.blocks.base import State
from growlab.kinds import KINDS, Cost
from growlab.layout import BlockSpec


class Rest(NamedTuple):
    """The tensors that a front end keeps while the blocks run."""

    seen: Tensor  # (B, S, D), embedded tokens that are still needed, the new ones last
    last: Tensor  # (B, 1, D), what the blocks made of the last position before
    n_new: int  # tokens


class Front(nn.Module, ABC):
    """A front end. Contract, tested for every registered one: causal, and equal to itself over any split of a text."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state before the first token."""

    @abstractmethod
    def take(self, e_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B N D"], Rest]:
        """Take in the next T ≥ 1 embedded tokens; return what they add to what the blocks see: N ≥ 0 positions."""

    @abstractmethod
    def tell(self, h_BND: Float[Tensor, "B N D"], rest: Rest) -> tuple[Float[Tensor, "B T D"], State]:
        """Return what the token after each new one is predicted from, given the blocks' output at the new positions."""


class Head(nn.Module, ABC):
    """A head. Contract, tested for every registered one: causal, and equal to itself over any split of a text."""

    @abstractmethod
    def forward(
        self, x_BTD: Float[Tensor, "B T D"], ids_BT: Int[Tensor, "B T"], logits_BTV: Float[Tensor, "B T V"]
    ) -> Float[Tensor, "B T V"]:
        """Logits as of `advance`, for a whole text."""

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state before the first token."""

    @abstractmethod
    def advance(
        self,
        x_BTD: Float[Tensor, "B T D"],
        ids_BT: Int[Tensor, "B T"],
        logits_BTV: Float[Tensor, "B T V"],
        state: State,
    ) -> tuple[Float[Tensor, "B T V"], State]:
        """Logits for the token after each, from those of the tied head and the stream behind the last block."""


def build_part(spec: BlockSpec | None, d_model: int, vocab_size: int) -> nn.Module | None:
    """Build a freshly initialised front end or head, or None. Matrices are N(0, 1 / (3·fan_in)), as those of blocks."""
    if spec is None:
        return None
    kind = KINDS[spec.kind]
    part: nn.Module = kind.mixer(d_model, kind.read_options(spec, d_model), vocab_size)
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=1 / math.sqrt(3 * module.in_features))
    return part


def part_cost(spec: BlockSpec, d_model: int, seq_len: int, vocab_size: int) -> Cost:
    kind = KINDS[spec.kind]
    return kind.cost(d_model, kind.read_options(spec, d_model), seq_len, vocab_size)


def n_positions(front: BlockSpec | None, d_model: int, seq_len: int) -> int:
    """Count the positions that the blocks see of a text of this length."""
    if front is None:
        return seq_len
    n: int = KINDS[front.kind].read_options(front, d_model).n_positions(seq_len)
    return n
