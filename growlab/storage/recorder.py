"""What a training run writes through: facts wait in memory until the next commit point."""

from collections.abc import Callable, Sequence

from growlab.records import Artifact, TrialProgress, TrialResult
from growlab.storage.facts import Fact
from growlab.storage.rows import Claim
from growlab.storage.store import Store


class LeasedRecorder:
    """Writes under one claim. Every method that writes raises LeaseLost once the trial is another worker's.

    A commit that failed keeps its facts: the next one writes them, or writes them again.
    """

    def __init__(self, store: Store, claim: Claim, on_progress: Callable[[TrialProgress], None]) -> None:
        self._store = store
        self._claim = claim
        self._on_progress = on_progress
        self._facts: list[Fact] = []

    def checkpoint(self) -> Artifact | None:
        """Where to go on: what was committed before this attempt began."""
        return self._claim.checkpoint

    def start_over(self, why: str) -> None:
        """The checkpoint cannot be used, for the reason in `why`: forget it and what was recorded up to it."""
        self._store.start_over(self._claim, why)

    def record(self, fact: Fact) -> None:
        self._facts.append(fact)

    def progress(self, progress: TrialProgress) -> None:
        self._on_progress(progress)

    def commit(self, checkpoint: Artifact) -> None:
        self._store.commit(self._claim, tuple(self._facts), checkpoint)
        self._facts.clear()

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None:
        self._store.finish(self._claim, result, tuple(self._facts), artifacts)
        self._facts.clear()
