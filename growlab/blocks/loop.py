"""Depth without weights: the same blocks run N times, one pass after another, on the residual stream itself.

    s ← s + dropout(m(norm(s))) / N      for each block m in turn, and that N times

With times=1 these are the blocks themselves, to the bit. Each pass sees another stream, so each has states of its own;
what the blocks add to the training loss counts once, as the mean over the passes. There is no weight beside those of
the blocks, neither norm nor gate, and so there is no out-projection of the loop's own.

    gradient=all     through every pass
    gradient=last    what the blocks add in the passes before the last is a constant: they learn from the last pass
                     alone, and keep activations for it alone. The residual stream itself carries the gradient past
                     the others, so that what is below learns as before. The function is the same, to the bit.

A loop in a loop is unrolled: a block of both adds 1 / (N·M) of what it says, N·M times. In another nest (act, mix,
router) a loop runs on what that one gives it, and gives back how far the stream has moved; nothing then drops out of
its blocks' outputs, as the nest's own output does.

Source: looped middle layers, with branches over N and a gradient through the last pass, of the speed runs on small
language models (slowrun, parameter-golf, 2025); weights shared over depth, Dehghani et al. 2018, "Universal
Transformers".

Legend: B batch, T tokens, D d_model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.blocks.base import Block, Penalty, State, StreamMixer, total
from growlab.blocks.nest import Nest, joined, sum_of
from growlab.errors import LayoutError
from growlab.kinds import Cost, Nesting, option, register_nest
from growlab.layout import LOOP, LOOP_TIMES, MAX_BLOCKS, MOST_PASSES

GRADIENTS = ("all", "last")


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    times: int = option(LOOP_TIMES, search=(2, 3, 4), help="passes; each adds 1/times of what a block says")
    gradient: str = option("all", search=GRADIENTS, help="the passes that it goes through: " + ", ".join(GRADIENTS))

    def check(self, d_model: int) -> None:
        if not 1 <= self.times <= MOST_PASSES:
            raise LayoutError(f"loop[times={self.times}] must be between 1 and {MOST_PASSES}")
        if self.gradient not in GRADIENTS:
            raise LayoutError(f"loop[gradient={self.gradient}] must be {' or '.join(GRADIENTS)}")


def loop_cost(d_model: int, options: LoopOptions, seq_len: int, branches: Sequence[Sequence[Cost]]) -> Cost:
    """Cost of all passes. Those that are constants keep nothing for a backward pass, and have none."""
    inner, times = sum_of(branches), options.times
    n_constant = times - 1 if options.gradient == "last" else 0
    return Cost(
        n_params=inner.n_params,
        matmul_flops=times * inner.matmul_flops,
        other_flops=times * inner.other_flops,
        activations=(times - n_constant) * inner.activations,
        state_size=times * inner.state_size,
        dropped_activations=(times - n_constant) * inner.dropped_activations,
        constant_flops=n_constant * inner.flops + (times - n_constant) * inner.constant_flops,
    )


class Run(NamedTuple):
    """One of the times that a block is run."""

    block: Block
    share: float  # of what it says that is added
    constant: bool  # whether no gradient passes through what it says


@register_nest(
    LOOP,
    nesting=Nesting(example="attn mlp", branches=(1, 1), length=(1, MAX_BLOCKS), whole=True, on_stream=True),
    summary="blocks run a fixed number of times, without weights of its own",
    options=LoopOptions,
    cost=loop_cost,
)
class Loop(Nest, StreamMixer):
    def __init__(self, d_model: int, options: LoopOptions, branches: Sequence[Sequence[Block]]) -> None:
        super().__init__(d_model, options, branches)
        self.times, self.gradient = options.times, options.gradient
        self._n_states = [len(run.block.initial_state(1)) for run in self.runs()]

    @property
    def blocks(self) -> list[Block]:
        return list(self.inner)  # type: ignore[arg-type]

    def runs(self) -> list[Run]:
        """All runs of all blocks, those of loops among them unrolled, in order."""
        runs: list[Run] = []
        for at in range(self.times):
            constant = self.gradient == "last" and at < self.times - 1
            for block in self.blocks:
                inner = block.mixer.runs() if isinstance(block.mixer, Loop) else [Run(block, 1.0, False)]
                runs += [Run(run.block, run.share / self.times, run.constant or constant) for run in inner]
        return runs

    def open(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"], Penalty]:
        *earlier, last = self.runs()
        penalties: list[Penalty] = []
        for run in earlier:
            mixed_BTD, penalty = run.block.mixer.forward_with_penalty(run.block.norm(x_BTD))
            x_BTD = _added(x_BTD, mixed_BTD, run)
            penalties.append(_shared(penalty, run))
        mixed_BTD, penalty = last.block.mixer.forward_with_penalty(last.block.norm(x_BTD))
        return x_BTD, last.share * mixed_BTD, total([*penalties, _shared(penalty, last)])

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self.forward_with_penalty(x_BTD)[0]

    def forward_with_penalty(self, x_BTD: Float[Tensor, "B T D"]) -> tuple[Float[Tensor, "B T D"], Penalty]:
        stream_BTD, mixed_BTD, penalty = self.open(x_BTD)
        return stream_BTD - x_BTD + mixed_BTD, penalty

    def initial_state(self, batch: int) -> State:
        """The states of the blocks before the first token, for every pass."""
        return joined([run.block.initial_state(batch) for run in self.runs()])

    def advance_stream(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        after: list[State] = []
        for run, own in zip(self.runs(), self.states(state), strict=True):
            mixed_BTD, own = run.block.mixer.advance(run.block.norm(x_BTD), own)
            x_BTD = _added(x_BTD, mixed_BTD, run)
            after.append(own)
        return x_BTD, joined(after)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        y_BTD, state = self.advance_stream(x_BTD, state)
        return y_BTD - x_BTD, state

    def metrics(self, x_BTD: Float[Tensor, "B T D"]) -> dict[str, Float[Tensor, ""]]:
        """The metrics of the blocks in their last runs; 'inner_1.load_entropy' is the second block's."""
        runs = self.runs()
        last = {run.block: at for at, run in enumerate(runs)}
        found: dict[str, Tensor] = {}
        for at, run in enumerate(runs):
            x_norm_BTD = run.block.norm(x_BTD)
            if last[run.block] == at:
                name = f"inner_{list(last).index(run.block)}"
                found.update({f"{name}.{key}": value for key, value in run.block.mixer.metrics(x_norm_BTD).items()})
            x_BTD = _added(x_BTD, run.block.mixer(x_norm_BTD), run)
        return found


def _added(x_BTD: Tensor, mixed_BTD: Tensor, run: Run) -> Tensor:
    """Add its share of what a block said to the stream.

    A constant is detached, not computed without a graph: under autocast a weight that is first narrowed where nothing
    is recorded stays without a gradient to the end of the step.
    """
    dropped_BTD = run.block.dropout(mixed_BTD.detach() if run.constant else mixed_BTD)
    return torch.add(x_BTD, dropped_BTD, alpha=run.share)


def _shared(penalty: Penalty, run: Run) -> Penalty:
    """Weigh a penalty by the run's share, which makes a mean over the passes; no gradient passes a constant's."""
    if penalty is None:
        return None
    return run.share * (penalty.detach() if run.constant else penalty)
