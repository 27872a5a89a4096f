"""What a queue of trials does for those that decide and train: in SQL (growlab.storage), or in memory, simulated.

    enqueue ──► queued ── claim_next ──► running ── finish ──► completed | diverged | leak | failed
                  ^  ^                    │  ^ │
                  │  └────── release ─────┤  └─┘ claim_next by another, once the lease has run out
                  └── promote ── paused ◄─┘ pause

A claim is the right to a trial until another one is given. `beat` and `commit` extend its lease; each of `beat`,
`commit`, `pause`, `finish` and `release` raises LeaseLost once the trial is another worker's.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from growlab.proposal import Proposal
from growlab.records import Artifact, EndReason, Fact, PastTrial, Promotion, Spent, TrialResult, TrialState
from growlab.rungs import Ladder
from growlab.specs import TrialSpec

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
        """How far it may climb; None of a study without rungs."""
        ...


Claim = TypeVar("Claim", bound=Held)


class Queue(Protocol[Claim]):
    """A queue of the trials of studies, and what it knows of their past."""

    def past_trials(self, study_id: int, asked: Sequence[str]) -> Sequence[PastTrial]:
        """The trials as a search knows them, by number, with these metrics (Study.metrics), the first as the value."""
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
