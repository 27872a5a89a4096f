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
        require(0 < self.first < 1, "rungs.first", "greater than 0 and below 1", self.first)
        require(self.factor >= 1.5, "rungs.factor", "at least 1.5", self.factor)
        require(self.reading in READINGS, "rungs.reading", either(READINGS), self.reading)
        require(0 <= self.grace < 1, "rungs.grace", "at least 0 and below 1", self.grace)
        require(self.keep_paused >= 0, "rungs.keep_paused", "at least 0", self.keep_paused)
        expected = f"large enough for at most {MOST_RUNGS} rungs at a factor of {self.factor:g}"
        require(len(self.shares) <= MOST_RUNGS, "rungs.first", expected, self.first)

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the budget at each rung, from the lowest on; the end of the budget is none."""
        shares: list[float] = []
        share = self.first
        while share < 1 - 1e-9 and len(shares) <= MOST_RUNGS:
            shares.append(share)
            share *= self.factor
        return tuple(shares)

    def marks(self, budget: int) -> tuple[int, ...]:
        """The FLOPs of each rung, from the lowest on, of a budget of so many."""
        return tuple(round(share * budget) for share in self.shares)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The rungs of one trial, and how far it may climb."""

    rungs: Rungs
    may_pass: int  # so many rungs; it pauses at the next one, and trains to its end where there is none

    @property
    def top(self) -> bool:
        """Whether it trains to the end of its budget."""
        return self.may_pass >= len(self.rungs.shares)
