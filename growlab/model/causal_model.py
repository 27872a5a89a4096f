"""What a causal language model computes: embedding, units of residual blocks, RMSNorm, tied head.

A front end of its own may stand between the embedding and the blocks, a head of its own behind the tied one.

Legend: B batch, T tokens, N what the blocks see of them, D d_model, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from growlab.blocks.base import NORM_EPS, Block, Penalty, State, total
from growlab.blocks.parts import Front, Head
from growlab.blocks.rms_norm import rms_norm


class CausalModel(nn.Module):
    """Passes over a whole text and step by step, for a model whose modules are there: who builds them inherits."""

    embedding: nn.Embedding
    dropout: nn.Dropout  # of what is embedded
    front: Front | None
    units: nn.ModuleList  # each of blocks, in the order in which they are run
    norm: nn.RMSNorm
    head: Head | None

    def forward(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits for the next token at every position."""
        return self._run(ids_BT, lambda block, x_BND: (block(x_BND), None))[0]

    def _run(
        self, ids_BT: Tensor, through: Callable[[Block, Tensor], tuple[Tensor, Penalty]]
    ) -> tuple[Tensor, Penalty]:
        x_BND, leave = self.enter(self.embed(ids_BT))
        penalties = []
        for block in self.blocks() if x_BND.shape[1] else ():  # a text may be shorter than a patch
            x_BND, penalty = through(block, x_BND)
            penalties.append(penalty)
        return self.logits(leave(x_BND), ids_BT), total(penalties)

    def embed(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Embed tokens: what the front end sees, or the first block where there is none."""
        embedded: Tensor = self.dropout(self.embedding(ids_BT))
        return embedded

    def enter(
        self, e_BTD: Float[Tensor, "B T D"]
    ) -> tuple[Float[Tensor, "B N D"], Callable[[Float[Tensor, "B N D"]], Float[Tensor, "B T D"]]]:
        """Return what enters the first block, N = T or fewer.

        Also returns a function that makes the last block's output one for each token.
        """
        if self.front is None:
            return e_BTD, lambda x_BTD: x_BTD
        x_BND, rest = self.front.take(e_BTD, self.front.initial_state(e_BTD.shape[0]))
        return x_BND, lambda h_BND: self.front.tell(h_BND, rest)[0]

    def logits(self, x_BTD: Float[Tensor, "B T D"], ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits of a whole text, from its residual stream behind the last block."""
        logits_BTV = logits_of(x_BTD, self.norm.weight, self.embedding.weight)
        return logits_BTV if self.head is None else cast(Tensor, self.head(x_BTD, ids_BT, logits_BTV))

    # ---- decoding with carried state ------------------------------------------------------------------------

    def initial_state(self, batch: int) -> list[State]:
        """The states of the front end, of every block and of the head before the first token."""
        front, head = (() if part is None else part.initial_state(batch) for part in (self.front, self.head))
        return [front, *(block.initial_state(batch) for block in self.blocks()), head]

    def advance(
        self, ids_BT: Int[Tensor, "B T"], states: Sequence[State]
    ) -> tuple[Float[Tensor, "B T V"], list[State]]:
        """Logits of the next T ≥ 1 tokens after those that made `states`; equal to forward over the whole."""
        front, *of_blocks, head = states
        x_BTD = self.embed(ids_BT)
        if self.front is None:
            x_BTD, of_blocks = self._advance_blocks(x_BTD, of_blocks)
        else:
            x_BND, rest = self.front.take(x_BTD, front)
            h_BND, of_blocks = self._advance_blocks(x_BND, of_blocks)
            x_BTD, front = self.front.tell(h_BND, rest)
        logits_BTV = logits_of(x_BTD, self.norm.weight, self.embedding.weight)
        if self.head is not None:
            logits_BTV, head = self.head.advance(x_BTD, ids_BT, logits_BTV, head)
        return logits_BTV, [front, *of_blocks, head]

    def _advance_blocks(self, x_BND: Tensor, states: Sequence[State]) -> tuple[Tensor, list[State]]:
        if not x_BND.shape[1]:  # the patch is not full yet
            return x_BND, list(states)
        after: list[State] = []
        for block, state in list(zip(self.blocks(), states, strict=True)):
            x_BND, state = block.advance(x_BND, state)
            after.append(state)
        return x_BND, after

    def blocks(self) -> list[Block]:
        """The blocks of all units, in the order in which they are run."""
        return [cast(Block, block) for unit in self.units for block in cast(nn.ModuleList, unit)]


def logits_of(
    x_BTD: Float[Tensor, "B T D"], gain_D: Float[Tensor, " D"], embedding_VD: Float[Tensor, "V D"]
) -> Float[Tensor, "B T V"]:
    """Apply the head: RMSNorm, then the embedding's own matrix."""
    return F.linear(rms_norm(x_BTD, gain_D, NORM_EPS), embedding_VD)
