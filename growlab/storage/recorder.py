"""What a training run writes through: facts wait in memory until the next commit point.

A commit is made by a thread of its own. While the database is away it waits there, as long as the store's patience
lasts, and training goes on; what is recorded meanwhile waits for the next one.
"""

import threading
from collections.abc import Callable, Sequence

from growlab.records import Artifact, Fact, TrialProgress, TrialResult
from growlab.storage.rows import Claim
from growlab.storage.store import Store

PROMPT_S = 1.0  # that training waits for a commit; most take milliseconds
MOST_FACTS = 100_000  # in memory while a commit is under way, some 50 MB; then training waits for it


class LeasedRecorder:
    """A recorder under one claim. `commit`, `settled`, `pause` and `finish` raise LeaseLost once the trial is another
    worker's, and DatabaseAway when the database was away for longer than the store waits.

    A commit that failed keeps its facts: the next one writes them, or writes them again.

    `on_begin` is told the step at which this attempt begins, and why it is not that of its checkpoint, if it is not.
    """

    def __init__(
        self,
        store: Store,
        claim: Claim,
        *,
        on_begin: Callable[[int, str], None],
        on_progress: Callable[[TrialProgress], None],
    ) -> None:
        self._store, self._claim = store, claim
        self._on_begin, self._on_progress = on_begin, on_progress
        self._note = ""
        self._facts: list[Fact] = []
        self._under_way: _Commit | None = None

    def checkpoint(self) -> Artifact | None:
        """The checkpoint to go on from: what was committed before this attempt began."""
        return self._claim.checkpoint

    def start_over(self, why: str) -> None:
        """Forget a checkpoint that cannot be used, for the reason in `why`, and what was recorded up to it."""
        self._store.start_over(self._claim, why)
        self._note = why

    def began(self, step: int) -> None:
        self._on_begin(step, self._note)

    def record(self, fact: Fact) -> None:
        self._facts.append(fact)
        if len(self._facts) >= MOST_FACTS and self._under_way:
            self.settled(within_s=None)

    def progress(self, progress: TrialProgress) -> None:
        self._on_progress(progress)

    def commit(self, checkpoint: Artifact) -> None:
        """Begin to make the checkpoint and all facts so far durable; none may be under way."""
        assert self._under_way is None, "settled says when the last one is through"
        facts = tuple(self._facts)
        self._under_way = _Commit(lambda: self._store.commit(self._claim, facts, checkpoint), len(facts))
        self.settled(within_s=PROMPT_S)

    def settled(self, within_s: float | None = 0.0) -> bool:
        """Whether everything committed is durable; waits for it so long, with None until it is or cannot be."""
        if self._under_way is None:
            return True
        if self._under_way.is_running(within_s):
            return False
        ended, self._under_way = self._under_way, None
        if ended.error is not None:
            raise ended.error
        del self._facts[: ended.n_facts]
        return True

    def pause(self, checkpoint: Artifact) -> None:
        """Make the checkpoint and all facts durable, and give the trial back at the rung to which it came."""
        self.settled(within_s=None)
        self._store.pause(self._claim, tuple(self._facts), checkpoint)
        self._facts.clear()

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None:
        self.settled(within_s=None)
        self._store.finish(self._claim, result, tuple(self._facts), artifacts)
        self._facts.clear()


class _Commit:
    """A commit in a thread of its own. A daemon: a process that must end does not wait for a database."""

    def __init__(self, action: Callable[[], None], n_facts: int) -> None:
        self.n_facts = n_facts
        self.error: BaseException | None = None
        self._action = action
        self._thread = threading.Thread(target=self._run, daemon=True, name="commit")
        self._thread.start()

    def is_running(self, within_s: float | None) -> bool:
        """Whether the commit has not ended after so long."""
        self._thread.join(within_s)
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._action()
        except BaseException as error:
            self.error = error
