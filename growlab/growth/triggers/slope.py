"""When to grow: val_loss gains too little for the compute that it costs.

The gain is the slope of the last `checks` losses against the logarithm of the compute spent, in nats per doubling: it
asks the same of a small model and of a large one, and wants no window of weights.
"""

import math
from dataclasses import dataclass

from growlab.domains import Range
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, register_trigger
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class SlopeOptions(TriggerOptions):
    checks: int = scalar(5, at_least=2, search=Range(low=3, high=10), help="evaluations that a slope is of")
    least: float = scalar(
        0.1,
        at_least=0,
        search=Range(low=0.02, high=0.5, log=True),
        help="gain in val_loss below which to grow, in nats per doubling of the FLOPs spent",
    )

    def first_growth(self, pace: Pace) -> int:
        return self.checks * pace.eval_every


@register_trigger("slope", "val_loss gains too little per doubling of compute", options=SlopeOptions)
class Slope(Memory):
    """Remembers the last evaluations since the growth before, as [FLOPs, loss]: a growth bends the curve."""

    remembers = ("recent",)

    def __init__(self, options: SlopeOptions) -> None:
        self.options = options
        self.recent: list[list[float]] = []

    def look(self, moment: Moment) -> None:
        self.forget()

    def check(self, moment: Moment) -> bool:
        if moment.flops > 0:
            self.recent = [*self.recent, [moment.flops, moment.val_loss]][-self.options.checks :]
        if len(self.recent) < self.options.checks:
            return False
        return gain_per_doubling(self.recent) < self.options.least

    def forget(self) -> None:
        self.recent = []


def gain_per_doubling(evaluations: list[list[float]]) -> float:
    """The fall of the loss per doubling of compute, of two or more [FLOPs, loss], by least squares.

    inf where no compute lies between them, so that nothing follows of it.
    """
    doublings = [math.log2(flops) for flops, _ in evaluations]
    losses = [loss for _, loss in evaluations]
    n, mean, mean_loss = len(evaluations), sum(doublings) / len(doublings), sum(losses) / len(losses)
    spread = sum((x - mean) ** 2 for x in doublings)
    if spread <= n * 1e-18:
        return math.inf
    return -sum((x - mean) * (y - mean_loss) for x, y in zip(doublings, losses, strict=True)) / spread
