"""Stop rules: what ends a trial before its budget is spent, where going on promises nothing.

    median      at a mark its val_loss is above the median of the other trials that came there
    patience    its val_loss has not come below its best for so many evaluations in a row
    divergence  its val_loss has left its best for so many evaluations in a row while its training loss falls

The marks of `median` are shares of the budget as rungs have them (growlab.rungs), so that trials are compared at equal
FLOPs, and nobody waits there. The other two are functions of the trial's own evaluations. A growth costs loss at first:
for `grace` of the budget after one no rule stops a trial, and its own evaluations are counted anew from there on.

Sources: Golovin et al. 2017, "Google Vizier" (median; here over all trials that came to the mark, stopped ones
included); Prechelt 1998, "Early Stopping — But When?" (patience and divergence).
"""

import math
from dataclasses import dataclass
from typing import Literal

from growlab.errors import SpecError
from growlab.rungs import Rungs, require_marks
from growlab.scalar import require, setting

StopRule = Literal["median", "patience", "divergence"]

OVERFITS_BY = 0.05  # nats per token, of both losses, in opposite directions: less may be noise


@dataclass(frozen=True, kw_only=True)
class MedianRule:
    """Compares trials at marks, and stops the worse half of those that come there."""

    first: float = setting(
        type="number", range="greater than 0 and below 1", default=1 / 9, help="share of the budget at the first mark"
    )
    factor: float = setting(
        type="number", range="at least 1.5", default=3.0, help="what the share of a mark is multiplied by at the next"
    )
    min_trials: int = setting(
        type="whole number",
        range="at least 1",
        default=5,
        help="others that must have come to a mark before one is stopped there",
    )

    def __post_init__(self) -> None:
        require_marks("stop.median", self.first, self.factor)
        require(self.min_trials >= 1, "stop.median.min_trials", "at least 1", self.min_trials)

    def marks(self, *, grace: float) -> Rungs:
        """The marks, as rungs that every trial passes."""
        return Rungs(first=self.first, factor=self.factor, grace=grace)


@dataclass(frozen=True, kw_only=True)
class PatienceRule:
    """Stops a trial that gets no better."""

    evaluations: int = setting(
        type="whole number", range="at least 1", default=5, help="in a row that are no better than the best before"
    )
    threshold: float = setting(
        type="number",
        range="at least 0 and below 1",
        default=0.0,
        help="least share of the best val_loss by which one must be lower to be better",
    )
    after: float = setting(
        type="number",
        range="at least 0 and below 1",
        default=0.5,
        help="share of the budget before which it stops nothing: a loss that stands still may fall with the lr",
    )

    def __post_init__(self) -> None:
        require(self.evaluations >= 1, "stop.patience.evaluations", "at least 1", self.evaluations)
        require(0 <= self.threshold < 1, "stop.patience.threshold", "at least 0 and below 1", self.threshold)
        require(0 <= self.after < 1, "stop.patience.after", "at least 0 and below 1", self.after)


@dataclass(frozen=True, kw_only=True)
class DivergenceRule:
    """Stops a trial that learns its training text by heart."""

    evaluations: int = setting(
        type="whole number",
        range="at least 1",
        default=3,
        help="in a row at which val_loss is above its best while the training loss is below what it was there",
    )
    margin: float = setting(
        type="number", range="at least 0", default=OVERFITS_BY, help="nats per token, by which both are at least"
    )

    def __post_init__(self) -> None:
        require(self.evaluations >= 1, "stop.divergence.evaluations", "at least 1", self.evaluations)
        require(0 <= self.margin < math.inf, "stop.divergence.margin", "at least 0", self.margin)


@dataclass(frozen=True, kw_only=True)
class StopRules:
    """The stop rules of a study: those that it names."""

    median: MedianRule | None = None
    patience: PatienceRule | None = None
    divergence: DivergenceRule | None = None
    grace: float = setting(
        type="number",
        range="at least 0 and below 1",
        default=0.05,
        help="share of the budget after a growth in which no rule stops its trial",
    )

    def __post_init__(self) -> None:
        if not (self.median or self.patience or self.divergence):
            raise SpecError("stop: names none of median, patience and divergence; name one, or leave the section out")
        require(0 <= self.grace < 1, "stop.grace", "at least 0 and below 1", self.grace)

    @property
    def marks(self) -> Rungs | None:
        """Where the median rule reads trials; None without it."""
        return None if self.median is None else self.median.marks(grace=self.grace)
