"""What a layout costs, computed without building it. Pure arithmetic over the kinds' own cost functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from growlab.blocks import block_cost
from growlab.blocks.parts import n_positions, part_cost
from growlab.kinds import Cost
from growlab.layout import BlockSpec, Layout, parse
from growlab.specs import BudgetSpec, TrainSpec, TrialSpec

BYTES_PER_NUMBER = 4  # weights, gradients, AdamW's moments and most activations are fp32


def count_params(layout: Layout, vocab_size: int) -> int:
    """Count parameters: embedding (tied with the head), blocks with norms, the last norm, parts of the layout's own."""
    blocks = sum(block_cost(spec, layout.d_model, seq_len=1).n_params for spec in layout.blocks)
    parts = sum(cost.n_params for cost in _part_costs(layout, vocab_size, seq_len=1))
    return vocab_size * layout.d_model + blocks + layout.d_model + parts


def forward_flops(layout: Layout, vocab_size: int, seq_len: int) -> int:
    """FLOPs of the forward pass of one sequence."""
    seen = n_positions(layout.front, layout.d_model, seq_len)
    blocks = sum(block_cost(spec, layout.d_model, seen).flops for spec in layout.blocks)
    return blocks + rest_flops(layout, vocab_size, seq_len)


def rest_flops(layout: Layout, vocab_size: int, seq_len: int) -> int:
    """FLOPs of what is no block: the tied head, and parts of the layout's own."""
    return 2 * seq_len * layout.d_model * vocab_size + sum(
        cost.flops for cost in _part_costs(layout, vocab_size, seq_len)
    )


def _part_costs(layout: Layout, vocab_size: int, seq_len: int) -> list[Cost]:
    """Costs of the front end and the head, where the layout has its own."""
    parts = [part for part in (layout.front, layout.head) if part]
    return [part_cost(part, layout.d_model, seq_len, vocab_size) for part in parts]


@dataclass(frozen=True, kw_only=True)
class TrainedUnit:
    """A unit in training: its blocks, and whether its weights are frozen."""

    blocks: Sequence[BlockSpec]
    frozen: bool


def training_flops(
    units: Sequence[TrainedUnit],
    layout: Layout,
    vocab_size: int,
    seq_len: int,
    batch_size: int,
    *,
    rest_frozen: bool,
    recompute: bool = False,
) -> int:
    """FLOPs of one step: forward, gradient of the inputs, gradient of the weights, each as dear as the forward.

    `layout` is the model's; its blocks are those of the units. A frozen unit saves the gradient of its weights, and of
    its inputs too while nothing below it trains; `rest_frozen` says the same of embedding, front end, last norm and
    head. With `recompute` blocks through which gradients pass are computed forwards once more.
    """
    total = rest_flops(layout, vocab_size, seq_len) * (2 if rest_frozen else 3)
    trains_below = not rest_frozen
    seen = n_positions(layout.front, layout.d_model, seq_len)
    for unit in units:
        costs = [block_cost(spec, layout.d_model, seen) for spec in unit.blocks]
        forward = sum(cost.flops for cost in costs)
        differentiated = forward - sum(cost.constant_flops for cost in costs)
        trains_below = trains_below or not unit.frozen
        total += forward * (1 + int(recompute and trains_below))
        total += differentiated * (int(trains_below) + int(not unit.frozen))
    return total * batch_size


def step_flops(spec: TrialSpec, vocab_size: int) -> int:
    """FLOPs of a training step before any growth."""
    layout, train = parse(spec.layout), spec.train
    return training_flops(
        [TrainedUnit(blocks=layout.blocks, frozen=False)],
        layout,
        vocab_size,
        train.seq_len,
        train.batch_size,
        rest_frozen=False,
        recompute=train.recompute,
    )


def expected_steps(spec: TrialSpec, vocab_size: int) -> int:
    """The number of steps of a trial whose model stays as it begins."""
    return steps_of(spec.budget, spec.train.batch_size * spec.train.seq_len, step_flops(spec, vocab_size))


def steps_of(budget: BudgetSpec, tokens_per_step: int, flops_per_step: int) -> int:
    """The number of steps until the budget is spent."""
    per_step = {"steps": 1, "tokens": tokens_per_step, "flops": flops_per_step}[budget.unit]
    return -(-budget.amount // per_step)


def training_memory(
    layout: Layout,
    vocab_size: int,
    seq_len: int,
    batch_size: int,
    window: int,
    *,
    dropout: float,
    recompute: bool = False,
) -> int:
    """Estimate the bytes of training: weights, gradients, two moments; activations; the watched unit's increments.

    The window is charged as if the whole model were one unit per two blocks; logits count twice
    (values and gradient), and so does the last norm (input and output). With `recompute` the inputs of all blocks are
    kept, and the activations of one at a time.
    """
    n_params = count_params(layout, vocab_size)
    seen = n_positions(layout.front, layout.d_model, seq_len)
    blocks, parts = (
        [cost.activations + (cost.dropped_activations if dropout else 0) for cost in costs]
        for costs in (
            [block_cost(spec, layout.d_model, seen) for spec in layout.blocks],
            _part_costs(layout, vocab_size, seq_len),
        )
    )
    kept = len(blocks) * seen * layout.d_model + max(blocks) if recompute else sum(blocks)
    activations = kept + sum(parts)
    head = 2 * seq_len * (vocab_size + layout.d_model)
    watched = n_params * min(1.0, 2 / layout.depth) * window
    return int(BYTES_PER_NUMBER * (4 * n_params + batch_size * (activations + head) + watched))


@dataclass(frozen=True)
class Costs:
    """What layouts cost over a vocabulary, as the limits of a search ask (growlab.search.limits).

    Called, it counts parameters.
    """

    vocab_size: int

    def __call__(self, layout: Layout) -> int:
        return count_params(layout, self.vocab_size)

    def flops_per_token(self, layout: Layout, seq_len: int) -> int:
        """FLOPs of the forward pass, the mean over the tokens of a sequence."""
        return -(-forward_flops(layout, self.vocab_size, seq_len) // seq_len)

    def state_size(self, layout: Layout, seq_len: int) -> int:
        """Numbers that are carried from token to token after so many tokens, of blocks, front end and head."""
        seen = n_positions(layout.front, layout.d_model, seq_len)
        blocks = sum(block_cost(spec, layout.d_model, seen).state_size for spec in layout.blocks)
        return blocks + sum(cost.state_size for cost in _part_costs(layout, self.vocab_size, seq_len))

    def memory(self, layout: Layout, train: TrainSpec, window: int) -> int:
        """Bytes of training, by training_memory."""
        return training_memory(
            layout,
            self.vocab_size,
            train.seq_len,
            train.batch_size,
            window,
            dropout=train.dropout,
            recompute=train.recompute,
        )


def fewest_bytes(layout: Layout, vocab_size: int, seq_len: int, batch_size: int, *, bytes_per_activation: int) -> int:
    """Bytes that a training step must read and write, at least, when none of what it keeps fits into a cache.

    Weights, gradients and AdamW's two moments, each read once and written once, four bytes a number; what the
    backward pass needs of the blocks, the last norm (input and output) and the logits, written once and read once.

    Not in it: reading weights a second time in the backward pass, gradients of activations, what an operation writes
    and no backward pass needs, masks and attention weights of dropout, the batch itself. A step whose tensors stay in
    a cache, or that computes activations again, can move fewer bytes through memory.
    """
    seen = n_positions(layout.front, layout.d_model, seq_len)
    blocks = sum(block_cost(spec, layout.d_model, seen).activations for spec in layout.blocks)
    blocks += sum(cost.activations for cost in _part_costs(layout, vocab_size, seq_len))
    activations = batch_size * (blocks + seq_len * (vocab_size + 2 * layout.d_model))
    return 2 * (4 * BYTES_PER_NUMBER * count_params(layout, vocab_size) + bytes_per_activation * activations)
