"""A causal language model over a layout: embedding, units of residual blocks, RMSNorm, tied head.

Legend: B batch, T tokens, D d_model, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from growlab.blocks import Block, State, build_block
from growlab.blocks.base import NORM_EPS
from growlab.kinds import complete, complete_block, shorten_block, units
from growlab.layout import BlockSpec, Layout, format_blocks

EMBEDDING_STD = 0.02


class Unit(nn.ModuleList):
    """Consecutive blocks that growth copies together: a sequence mixer and the channel mixers after it."""

    @property
    def specs(self) -> tuple[BlockSpec, ...]:
        return tuple(cast(Block, block).spec for block in self)


class LanguageModel(nn.Module):
    """Built from a complete or a short layout; satisfies growlab.growth.growable.Growable.

    `max_depth` (blocks) only scales the initialisation, see build_block.
    """

    def __init__(self, layout: Layout, *, vocab_size: int, max_depth: int, dropout: float) -> None:
        super().__init__()
        layout = complete(layout)
        self.d_model, self.max_depth, self.p_dropout = layout.d_model, max_depth, dropout
        self.plasticity = 0.0  # that was set; 0: none was, each block has its own
        self.embedding = nn.Embedding(vocab_size, layout.d_model)
        self.dropout = nn.Dropout(dropout)
        self.units = nn.ModuleList(self._build_unit(group) for group in units(layout.blocks))
        self.norm = nn.RMSNorm(layout.d_model, eps=NORM_EPS)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)

    @property
    def layout(self) -> Layout:
        """Of today, after any growth, with every option written out."""
        return Layout(self.d_model, tuple(spec for unit in self._units() for spec in unit.specs))

    @property
    def vocab_size(self) -> int:
        return self.embedding.num_embeddings

    def forward(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T V"]:
        """Logits for the next token at every position."""
        x_BTD = self.embed(ids_BT)
        for block in self.blocks():
            x_BTD = block(x_BTD)
        return self._head(x_BTD)

    def embed(self, ids_BT: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """What enters the first block."""
        embedded: Tensor = self.dropout(self.embedding(ids_BT))
        return embedded

    def loss(self, ids_BT: Int[Tensor, "B T"], targets_BT: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        """Mean negative log-likelihood in nats per token, fp32 also under autocast; nothing else is in it."""
        return nats_per_token(self(ids_BT), targets_BT)

    # ---- decoding with carried state ------------------------------------------------------------------------

    def initial_state(self, batch: int) -> list[State]:
        return [block.mixer.initial_state(batch) for block in self.blocks()]

    def advance(
        self, ids_BT: Int[Tensor, "B T"], states: Sequence[State]
    ) -> tuple[Float[Tensor, "B T V"], list[State]]:
        """Logits of the next T ≥ 1 tokens after those that made `states`; equal to forward over the whole."""
        x_BTD = self.embed(ids_BT)
        after: list[State] = []
        for block, state in zip(self.blocks(), states, strict=True):
            x_BTD, state = block.advance(x_BTD, state)
            after.append(state)
        return self._head(x_BTD), after

    def set_plasticity(self, plasticity: float) -> None:
        """Of every block that has one, also of those that are still to grow. The layout tells it."""
        self.plasticity = plasticity
        for block in self.modules():
            if isinstance(block, Block):
                block.set_plasticity(plasticity)

    # ---- growth ---------------------------------------------------------------------------------------------

    def make_unit(self, blocks: Sequence[BlockSpec]) -> Unit:
        """A freshly initialised unit on the model's device, not yet part of it."""
        blocks = [complete_block(spec, self.d_model) for spec in blocks]
        return self._build_unit(blocks).to(self.embedding.weight)

    def blocks_of(self, unit: nn.Module) -> tuple[BlockSpec, ...]:
        return cast(Unit, unit).specs

    def out_projections(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        """The matrices whose vanishing makes the unit the identity."""
        return [cast(nn.Parameter, cast(Block, block).mixer.out_proj.weight) for block in cast(Unit, unit)]

    def insert_unit(self, position: int, unit: nn.Module) -> None:
        self.units.insert(position, unit)
        unit.train(self.training)

    def _build_unit(self, blocks: Sequence[BlockSpec]) -> Unit:
        unit = Unit(
            build_block(spec, self.d_model, max_depth=self.max_depth, dropout=self.p_dropout) for spec in blocks
        )
        if self.plasticity:
            for block in unit:
                cast(Block, block).set_plasticity(self.plasticity)
        return unit

    def _units(self) -> list[Unit]:
        return [cast(Unit, unit) for unit in self.units]

    def blocks(self) -> list[Block]:
        """Of all units, in the order in which they are run."""
        return [cast(Block, block) for unit in self._units() for block in unit]

    def _head(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T V"]:
        return logits_of(x_BTD, self.norm.weight, self.embedding.weight)


def logits_of(
    x_BTD: Float[Tensor, "B T D"], gain_D: Float[Tensor, " D"], embedding_VD: Float[Tensor, "V D"]
) -> Float[Tensor, "B T V"]:
    """The head: RMSNorm, then the embedding's own matrix."""
    return F.linear(F.rms_norm(x_BTD, gain_D.shape, gain_D, NORM_EPS), embedding_VD)


def nats_per_token(logits_BTV: Float[Tensor, "B T V"], targets_BT: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean negative log-likelihood, fp32."""
    return F.cross_entropy(logits_BTV.float().flatten(0, 1), targets_BT.flatten())


def short_unit_text(blocks: Sequence[BlockSpec]) -> str:
    """A unit as people read it, such as 'attn[n_heads=2] mlp'."""
    return format_blocks([shorten_block(spec) for spec in blocks])


def build_model(layout: Layout, *, vocab_size: int, max_depth: int, dropout: float, seed: int) -> LanguageModel:
    """A model whose initial weights are a function of the arguments alone; leaves torch's generator seeded."""
    torch.manual_seed(seed)
    return LanguageModel(layout, vocab_size=vocab_size, max_depth=max_depth, dropout=dropout)
