"""A causal language model that is built from a layout, is trained and can grow.

Legend: B batch, T tokens, N what the blocks see of them, D d_model, V vocabulary.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from growlab.blocks import Block, block_around, build_block
from growlab.blocks.base import NORM_EPS, Penalty
from growlab.blocks.loop import Loop
from growlab.blocks.parts import Front, Head, build_part
from growlab.blocks.router import Router
from growlab.kinds import complete, complete_block, shorten_block, units
from growlab.layout import BlockSpec, Layout, format_blocks
from growlab.model.causal_model import CausalModel
from growlab.model.cross_entropy import cross_entropy
from growlab.model.embedding import Embedding

EMBEDDING_STD = 0.02


Forward = TypeVar("Forward", bound=Callable[..., object])  # of a block


class Unit(nn.ModuleList):
    """Consecutive blocks that growth copies together: a sequence mixer and the channel mixers after it."""

    @property
    def specs(self) -> tuple[BlockSpec, ...]:
        return tuple(cast(Block, block).spec for block in self)


class LanguageModel(CausalModel):
    """A language model, built from a complete or a short layout; satisfies growlab.growth.growable.Growable.

    `max_depth` (blocks) only scales the initialisation, see build_block.
    """

    def __init__(self, layout: Layout, *, vocab_size: int, max_depth: int, dropout: float) -> None:
        super().__init__()
        layout = complete(layout)
        self.d_model, self.max_depth, self.p_dropout = layout.d_model, max_depth, dropout
        self.recompute = False
        self.plasticity = 0.0  # that was set; 0: none was, each block has its own
        self.embedding = Embedding(vocab_size, layout.d_model)
        self.dropout = nn.Dropout(dropout)
        self.front = cast(Front | None, build_part(layout.front, layout.d_model, vocab_size))
        self.units = nn.ModuleList(self._build_unit(group) for group in units(layout.blocks))
        self.norm = nn.RMSNorm(layout.d_model, eps=NORM_EPS)
        self.head = cast(Head | None, build_part(layout.head, layout.d_model, vocab_size))
        self._parts = (layout.front, layout.head)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)

    @property
    def layout(self) -> Layout:
        """The layout of today, after any growth, with every option written out."""
        return Layout(self.d_model, tuple(spec for unit in self._units() for spec in unit.specs), *self._parts)

    @property
    def vocab_size(self) -> int:
        return self.embedding.num_embeddings

    def loss(self, ids_BT: Int[Tensor, "B T"], targets_BT: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
        """Mean negative log-likelihood in nats per token, fp32 also under autocast; nothing else is in it."""
        return nats_per_token(self(ids_BT), targets_BT)

    def objective(
        self, ids_BT: Int[Tensor, "B T"], targets_BT: Int[Tensor, "B T"]
    ) -> tuple[Float[Tensor, ""], Penalty]:
        """The loss, and what blocks want besides, of which training takes the sum."""
        logits_BTV, penalty = self._run(ids_BT, self.with_recompute(Block.forward_with_penalty))
        return nats_per_token(logits_BTV, targets_BT), penalty

    def with_recompute(self, forward: Forward) -> Forward:
        """Make a block's forward pass one whose activations are computed again in the backward pass instead of kept.

        Only where the model recomputes; else it is returned as it is. What dropout drops is the same both times.
        Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
        """
        if not (self.recompute and torch.is_grad_enabled()):
            return forward
        keep_random = self.training and self.p_dropout > 0
        return cast(Forward, partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=keep_random))

    def block_metrics(self, ids_BT: Int[Tensor, "B T"]) -> dict[str, Float[Tensor, ""]]:
        """Metrics of the blocks on these tokens; 'block_3.load_entropy' is the fourth block's."""
        found: dict[str, Tensor] = {}

        def look(block: Block, x_BND: Tensor) -> tuple[Tensor, Penalty]:
            metrics = block.mixer.metrics(block.norm(x_BND))
            found.update({f"block_{index[block]}.{name}": value for name, value in metrics.items()})
            return block(x_BND), None

        index = {block: at for at, block in enumerate(self.blocks())}
        self._run(ids_BT, look)
        return found

    def set_plasticity(self, plasticity: float) -> None:
        """Set the α of every block that has one, also of those that are still to grow. The layout names it."""
        self.plasticity = plasticity
        for block in self.blocks():
            block.set_plasticity(plasticity)

    def exit_hard(self) -> None:
        """Decode with routers that are open or closed, and skip what is behind a closed one."""
        for module in self.modules():
            if isinstance(module, Router):
                module.hard = True

    # ---- growth ---------------------------------------------------------------------------------------------

    def make_unit(self, blocks: Sequence[BlockSpec]) -> Unit:
        """A freshly initialised unit on the model's device, not yet part of it."""
        blocks = [complete_block(spec, self.d_model) for spec in blocks]
        return self._build_unit(blocks).to(self.embedding.weight)

    def enclose(self, units: Sequence[nn.Module], blocks: Sequence[BlockSpec]) -> Unit:
        """A unit of one loop that holds the blocks of these units: the same modules, with the same parameters.

        Where the units are one loop already, and `blocks` one of what that holds, it gives its blocks to the new one.
        """
        [spec] = (complete_block(spec, self.d_model) for spec in blocks)
        held = [cast(Block, block) for unit in units for block in cast(Unit, unit)]
        if len(held) == 1 and isinstance(held[0].mixer, Loop) and held[0].spec.inner == spec.inner:
            held = held[0].mixer.blocks
        return Unit([block_around(spec, held, self.d_model, self.p_dropout)])

    def blocks_of(self, unit: nn.Module) -> tuple[BlockSpec, ...]:
        return cast(Unit, unit).specs

    def out_projections(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        """The matrices whose vanishing makes the unit the identity."""
        return [weight for block in cast(Unit, unit) for weight in cast(Block, block).out_projections()]

    def norm_gains(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        """The gains of the norms before the unit's mixers, those in a loop's blocks too."""
        return [gain for block in cast(Unit, unit) for gain in cast(Block, block).norm_gains()]

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


def nats_per_token(logits_BTV: Float[Tensor, "B T V"], targets_BT: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """The mean negative log-likelihood, fp32 at least."""
    return cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())


def short_unit_text(blocks: Sequence[BlockSpec]) -> str:
    """A unit as people read it, such as 'attn[n_heads=2] mlp'."""
    return format_blocks([shorten_block(spec) for spec in blocks])


def build_model(layout: Layout, *, vocab_size: int, max_depth: int, dropout: float, seed: int) -> LanguageModel:
    """Build a model whose initial weights are a function of the arguments alone; leaves torch's generator seeded."""
    torch.manual_seed(seed)
    return LanguageModel(layout, vocab_size=vocab_size, max_depth=max_depth, dropout=dropout)
