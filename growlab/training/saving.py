"""When a trial is saved, which of its checkpoints is durable, and what stays of it at its end."""

import time
from collections.abc import Sequence

from growlab.errors import DatabaseAway
from growlab.named import Named
from growlab.records import PEAK_MEMORY, Artifact, EarlyStop, Metric, TrialResult, TrialState
from growlab.training.at_end import measure
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.device import peak_memory
from growlab.training.recorder import Recorder
from growlab.training.result import make_result
from growlab.training.run import TrialRun
from growlab.training.sample import sample_text
from growlab.training.timing import Stopwatch

CHECKPOINT_SHARE = 0.02  # of the time at most goes into checkpoints, whatever their size
LAST_COMMIT_S = 20.0  # for a commit under way, and then for the last one, of a trial that was asked to stop


class Saver:
    """Keeps what must stay of a trial: its checkpoints, of which only those that are needed, and at last its result.

    Checkpoints come at least `every_s` apart, further where they are dear.
    """

    def __init__(
        self,
        run: TrialRun,
        recorder: Recorder,
        folder: CheckpointFolder,
        watch: Stopwatch,
        every_s: float,
        asked: Sequence[Named] = (),
    ) -> None:
        self.run, self.recorder, self.folder, self.watch = run, recorder, folder, watch
        self.every_s, self.asked = every_s, asked
        self._due_at = time.monotonic() + every_s
        self._unsettled: Artifact | None = None  # a checkpoint that is not known to be durable yet

    def save_when_due(self) -> None:
        """Save the trial when its time has come and the checkpoint before is durable."""
        if time.monotonic() >= self._due_at and self.settle():
            self.save()

    def make_due(self) -> None:
        """Let the next look whether to save find that it is time."""
        self._due_at = time.monotonic()

    def save(self) -> None:
        """Save everything and begin to make the facts so far durable with it."""
        began = time.monotonic()
        self.watch.add_to(self.run.counters)
        self._unsettled = self.folder.save(self.run)
        saved = time.monotonic()
        self.recorder.commit(self._unsettled)
        settled, ended = self.settle(), time.monotonic()
        cost_s = (ended if settled else saved) - began  # not the wait for a database that is away
        self._due_at = ended + max(self.every_s, cost_s / CHECKPOINT_SHARE)

    def settle(self, within_s: float = 0.0) -> bool:
        """Delete the checkpoints before the last one once that is durable, and not sooner; return whether it is."""
        if not self.recorder.settled(within_s):
            return False
        if self._unsettled is not None:
            self.folder.forget_before(self._unsettled)
            self._unsettled = None
        return True

    def put_down(self) -> None:
        """Save where the trial is. Raises DatabaseAway where the recorder does not take it in time."""
        if self.settle(LAST_COMMIT_S):
            self.save()
        if not self.settle(LAST_COMMIT_S):
            raise DatabaseAway(f"the database did not take the last checkpoint within {LAST_COMMIT_S:.0f} s")

    def pause(self) -> None:
        """Save where the trial is and give it back, to wait at its rung.

        Its peak of memory is not told: it may be higher yet, and is of the attempt that ends it.
        """
        self.watch.add_to(self.run.counters)
        checkpoint = self.folder.save(self.run)
        self.recorder.pause(checkpoint)
        self.folder.forget_before(checkpoint)

    def stop(self, stop: EarlyStop) -> TrialResult:
        """Record why a stop rule ends the trial, and what it came to."""
        self.recorder.record(stop)
        return self.finish(TrialState.STOPPED, stop.reason)

    def finish(self, state: TrialState, reason: str = "") -> TrialResult:
        """Record the result and delete the checkpoints; of a completed trial save the model, a sample, and what else
        its study asks of it.
        """
        run = self.run
        artifacts: list[Artifact] = []
        sample, problem = "", reason
        peak = peak_memory(run.device, run.recorded_bytes)  # before a sample is written, which training does not do
        if peak is not None:
            self.recorder.record(Metric(step=run.counters.step, split="train", name=PEAK_MEMORY, value=peak))
        if state is TrialState.COMPLETED:
            artifacts = [self.folder.save_model(run), self.folder.save_tokenizer(run.corpus.tokenizer)]
            sample = sample_text(run)  # last: it may take the model from its device
        self.watch.add_to(run.counters)
        if state is TrialState.COMPLETED and self.asked:
            rows, problem = measure(run, self.asked)
            for row in rows:
                self.recorder.record(row)
        result = make_result(run, state, sample, problem)
        self.recorder.finish(result, artifacts)
        self.folder.forget_all()
        return result
