"""What a queue of trials does for those that decide and train: in SQL (growlab.storage), or in memory, simulated.

    enqueue ──► queued ── claim_next ──► running ── finish ──► completed | stopped | diverged | leak | failed
                  ^  ^                    │  ^ │
                  │  └────── release ─────┤  └─┘ claim_next by another, once the lease has run out
                  └── promote ── paused ◄─┘ pause

A claim is the right to a trial until another one is given. `beat` and `commit` extend its lease; each of `beat`,
`commit`, `pause`, `finish` and `release` raises LeaseLost once the trial is another worker's.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from growlab.proposal import Proposal
from growlab.records import (
    Artifact,
    EndReason,
    Fact,
    PastTrial,
    Promotion,
    RungReading,
    Spent,
    TrialResult,
    TrialState,
)
from growlab.rungs import Ladder, Rungs
from growlab.specs import TrialSpec
from growlab.stopping import StopRules

MAX_STRIKES = 3  # crashes without a new checkpoint, with which a trial is failed
MOST_LOSSES = 10  # workers that may be lost in a row with a trial that comes no further


class Held(Protocol):
    """What a claim says of the trial that it is the right to."""

    @property
    def number(self) -> int: ...

    @property
    def spec(self) -> TrialSpec: ...

    @property
    def checkpoint(self) -> Artifact | None:
        """The newest that was committed, to go on from."""
        ...

    @property
    def ladder(self) -> Ladder | None:
        """How far it may climb; None of a study that reads no trial on its way."""
        ...


def ladder_of(rungs: Rungs | None, rules: StopRules | None, may_pass: int) -> Ladder | None:
    """How far a trial may climb that was promoted so often: past all marks at which it is only read."""
    if rungs is not None:
        return Ladder(rungs=rungs, may_pass=may_pass)
    return Ladder.through(rules.marks) if rules and rules.marks else None


Claim = TypeVar("Claim", bound=Held)


class Queue(Protocol[Claim]):
    """A queue of the trials of studies, and what it knows of their past."""

    def past_trials(self, study_id: int, asked: Sequence[str]) -> Sequence[PastTrial]:
        """The trials as a search knows them, by number, with these metrics (Study.metrics), the first as the value."""
        ...

    def readings_at(self, study_id: int, rung: int) -> Mapping[int, RungReading]:
        """What trials came to at one rung, or mark, by number, whether they are over or not."""
        ...

    def counts(self, study_id: int) -> Mapping[TrialState, int]: ...

    def spent(self, study_id: int) -> Spent: ...

    def enqueue(self, study_id: int, proposal: Proposal, *, revision: int = 0) -> bool:
        """Add a trial; False where its number is taken, or the study has n_trials already."""
        ...

    def promote(self, study_id: int, promotion: Promotion, *, revision: int = 0) -> bool:
        """Put a paused trial into the queue again, to train on; False where it no longer waits at that rung."""
        ...

    def claim_next(self, study_id: int, worker_id: int, *, lease_s: float) -> Claim | None:
        """Take the first trial, by number, that is queued or whose lease has run out; None where there is none."""
        ...

    def beat(self, claim: Claim, step: int = 0) -> None: ...

    def commit(self, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None: ...

    def pause(self, claim: Claim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
        """Commit, and give the trial back as paused."""
        ...

    def finish(
        self, claim: Claim, result: TrialResult, facts: Sequence[Fact], artifacts: Sequence[Artifact]
    ) -> None: ...

    def release(self, claim: Claim, reason: EndReason, note: str = "") -> None:
        """Give the trial back: stopped without blame, crashed with a strike; with MAX_STRIKES it is failed."""
        ...
