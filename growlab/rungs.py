"""Rungs: amounts of FLOPs at which trials are compared, so that only the better ones train on.

    first ──► first · factor ──► first · factor² ──► … ──► the whole budget

A trial that comes to a rung is read there (`READINGS`) and waits, paused, until it is promoted to the next one. The
learning rate and all else follow the whole budget from the first step on, so that a trial that climbs every rung ends
as it would have ended without any.

Source: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning" (asynchronous successive halving).
"""

from dataclasses import dataclass
from typing import Literal, get_args

from growlab.scalar import either, require, setting

Reading = Literal["trunk", "average", "branch"]
READINGS: tuple[Reading, ...] = get_args(Reading)
MOST_RUNGS = 12


@dataclass(frozen=True, kw_only=True)
class Rungs:
    """The rungs of a study, below the whole budget."""

    first: float = setting(
        type="number", range="greater than 0 and below 1", default=1 / 9, help="share of the budget at the first rung"
    )
    factor: float = setting(
        type="number",
        range="at least 1.5",
        default=3.0,
        help="what the share of a rung is multiplied by at the next one; so many come to a rung for each that goes on",
    )
    reading: Reading = setting(
        type="text",
        range=either(READINGS),
        default="trunk",
        help="whose val_loss is compared: trunk (the model as it is) | average (of its weights since 0.8 of the rung) "
        "| branch (a copy whose lr falls to its end over a tenth of what was spent, which the study pays for)",
    )
    grace: float = setting(
        type="number",
        range="at least 0 and below 1",
        default=0.05,
        help="share of the budget that a growth is given to pay before its trial is read",
    )
    keep_paused: int = setting(
        type="whole number",
        range="at least 0",
        default=0,
        help="paused trials whose checkpoints are kept, the best; another one that is promoted after all begins again; "
        "0: all, until the study is over",
    )

    def __post_init__(self) -> None:
        require_marks("rungs", self.first, self.factor)
        require(self.reading in READINGS, "rungs.reading", either(READINGS), self.reading)
        require(0 <= self.grace < 1, "rungs.grace", "at least 0 and below 1", self.grace)
        require(self.keep_paused >= 0, "rungs.keep_paused", "at least 0", self.keep_paused)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the budget at each rung, from the lowest on; the end of the budget is none."""
        return shares_from(self.first, self.factor)

    def marks(self, budget: int) -> tuple[int, ...]:
        """The FLOPs of each rung, from the lowest on, of a budget of so many."""
        return tuple(round(share * budget) for share in self.shares)


def shares_from(first: float, factor: float) -> tuple[float, ...]:
    """Shares of a budget below 1, the first and then each the one before times the factor; at most MOST_RUNGS + 1."""
    shares: list[float] = []
    share = first
    while share < 1 - 1e-9 and len(shares) <= MOST_RUNGS:
        shares.append(share)
        share *= factor
    return tuple(shares)


def require_marks(section: str, first: float, factor: float) -> None:
    """Raise SpecError for a first share or a factor of this section of a study file that make no marks."""
    require(0 < first < 1, f"{section}.first", "greater than 0 and below 1", first)
    require(factor >= 1.5, f"{section}.factor", "at least 1.5", factor)
    expected = f"large enough for at most {MOST_RUNGS} marks at a factor of {factor:g}"
    require(len(shares_from(first, factor)) <= MOST_RUNGS, f"{section}.first", expected, first)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The rungs of one trial, and how far it may climb."""

    rungs: Rungs
    may_pass: int  # so many rungs; it pauses at the next one, and trains to its end where there is none

    @classmethod
    def through(cls, rungs: Rungs) -> "Ladder":
        """One whose every rung a trial may pass: it is read on its way, and never waits."""
        return cls(rungs=rungs, may_pass=len(rungs.shares))

    @property
    def top(self) -> bool:
        """Whether it trains to the end of its budget."""
        return self.may_pass >= len(self.rungs.shares)
