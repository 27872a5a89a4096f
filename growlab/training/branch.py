"""What is known of a trial that was forked, while it is not known yet which of its two branches stays."""

import math
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

from growlab.records import Fact


@dataclass(frozen=True, kw_only=True)
class Held:
    """All that a run was at some step, on the host: what a checkpoint of that step would hold."""

    tensors: dict[str, Shaped[Tensor, "..."]]
    numbers: dict[str, Any]  # plain JSON

    @property
    def step(self) -> int:
        return int(self.numbers["counters"]["step"])

    @property
    def flops(self) -> int:
        return int(self.numbers["counters"]["flops"])


@dataclass(kw_only=True)
class Branch:
    """The branch that a forked trial trains now, and what is needed of the other one.

    First it trains as it was, while `other` is the point at which it was forked; then grown from that same point, while
    `other` is the end of the first branch. So never more than one copy is held.
    """

    grown: bool
    begun_step: int  # at which the trial was forked
    begun_flops: int
    ends_at: int  # what the trial will have spent when this branch is over, in the budget's unit
    other: Held
    as_it_was_loss: float = math.nan  # val_loss at the end of the first branch; inf where it diverged
    facts: list[Fact] = field(default_factory=list)  # of this branch: they become rows if it stays
    other_facts: list[Fact] = field(default_factory=list)
