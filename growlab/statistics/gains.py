"""Gains of a candidate, one per seed, positive where it is better: what every decision is made of.

Their unit is that of the question: nats of validation loss saved, or log compute saved (a log speed-up).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import fmean

from growlab.statistics.intervals import pair


class Bound(Enum):
    """How a number relates to the truth that it stands for."""

    EXACT = "exact"
    AT_LEAST = "at least"
    AT_MOST = "at most"
    NONE = "no bound"  # of a mean with both sorts of bounds in it


@dataclass(frozen=True)
class Gain:
    value: float
    bound: Bound = Bound.EXACT

    @property
    def sign(self) -> int:
        """1 or -1 where the bound leaves no doubt of it, else 0."""
        if self.value > 0 and self.bound in (Bound.EXACT, Bound.AT_LEAST):
            return 1
        return -1 if self.value < 0 and self.bound in (Bound.EXACT, Bound.AT_MOST) else 0


def loss_gains(candidate: Mapping[int, float], baseline: Mapping[int, float]) -> list[Gain]:
    """Nats that the candidate's val_loss is below the baseline's, on the seeds that both have."""
    return [Gain(difference) for difference in pair(baseline, candidate).differences.values()]


def mean_gain(gains: Sequence[Gain]) -> Gain:
    """The mean over seeds; a lower bound where it holds lower bounds, no bound where it holds both sorts."""
    bounds = {gain.bound for gain in gains} - {Bound.EXACT}
    bound = Bound.EXACT if not bounds else bounds.pop() if len(bounds) == 1 else Bound.NONE
    return Gain(fmean(gain.value for gain in gains), bound)
