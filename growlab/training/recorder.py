"""Where a trial's facts go. Storage implements this; tests use a list."""

from collections.abc import Sequence
from typing import Protocol

from growlab.records import Artifact, Fact, TrialProgress, TrialResult


class Receiver(Protocol):
    """A receiver of what a trial learns and where it stands."""

    def record(self, fact: Fact) -> None: ...

    def progress(self, progress: TrialProgress) -> None:
        """Show where the trial stands, for the live display and the signs of life. Never stored as a fact."""
        ...


class Recorder(Receiver, Protocol):
    """A receiver of facts, which become durable with a checkpoint, so that a resumed trial rewrites them and adds none.

    `commit`, `settled`, `pause` and `finish` raise LeaseLost when another worker owns the trial.
    """

    def checkpoint(self) -> Artifact | None:
        """The newest committed checkpoint, to resume from."""
        ...

    def start_over(self, why: str) -> None:
        """Forget a checkpoint that cannot be used and the facts up to it. `why` is for readers of the attempt."""
        ...

    def began(self, step: int) -> None:
        """Note that the trial stands at this step and goes on from it. Never stored as a fact."""
        ...

    def commit(self, checkpoint: Artifact) -> None:
        """Begin to make the checkpoint and all facts so far durable, once everything before is settled."""
        ...

    def settled(self, within_s: float | None = 0.0) -> bool:
        """Whether everything committed is durable; waits for it so long, with None until it is."""
        ...

    def pause(self, checkpoint: Artifact) -> None:
        """Make the checkpoint and all facts durable and give the trial back, to wait at its rung: all of it or none."""
        ...

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None: ...
