"""The rows and the progress of a trial, told to its recorder."""

import math
import time

from growlab.finite import finite
from growlab.layout import n_run
from growlab.model.cost import expected_steps
from growlab.records import Metric, TrajectoryPoint, TrialProgress
from growlab.training.evaluation import Evaluation, bits_per_byte
from growlab.training.recorder import Receiver
from growlab.training.run import TrialRun
from growlab.training.timing import Stopwatch

FINITE_EVERY = 10  # steps between looks at the loss, each of which waits for the device
TRAIN_ROWS = 200  # of a trial, besides those of its evaluations
PROGRESS_EVERY_S = 0.5


def steps_between_rows(n_steps: int) -> int:
    """The steps from row to row of a trial of about `n_steps`: TRAIN_ROWS, when the host looks at the loss anyway."""
    return FINITE_EVERY * max(1, math.ceil(n_steps / (TRAIN_ROWS * FINITE_EVERY)))


def is_row(step: int, every: int) -> bool:
    """Whether a step has a row: each `every` steps, and before the first of these at 10, 20, 40, …

    One step may take a second.
    """
    n_looks, between = divmod(step, FINITE_EVERY)
    return step % every == 0 or (step < every and not between and n_looks.bit_count() == 1)


class Reporter:
    """Tells what a trial's run knows: metrics, and now and then its progress."""

    def __init__(self, run: TrialRun, recorder: Receiver, watch: Stopwatch) -> None:
        self.run, self.recorder, self.watch = run, recorder, watch
        self.train_loss = math.nan  # of the newest row
        self.row_every = steps_between_rows(expected_steps(run.spec, run.model.vocab_size))
        self.begin_anew()

    def begin_anew(self) -> None:
        """Measure speed from here on, where the run stands now."""
        tokens = self.run.counters.tokens
        self._row_watch, self._tokens_at_row = Stopwatch(), tokens
        self._progress_at, self._tokens_at_progress = time.monotonic(), tokens

    def begin_step(self) -> None:
        """Take the time of the first step of a row: evaluations and growths between two rows slow nothing down."""
        if self.run.loss_count == 0:
            self._row_watch, self._tokens_at_row = Stopwatch(), self.run.counters.tokens

    def report_training(self) -> None:
        """Record a row, where one is due: mean loss and speed since the row before, lr and gradient norm of the last
        step, the totals.

        Which steps have one depends on the spec alone. A resumed attempt takes its first row's speed from where
        it began; all else is what it was.
        """
        run, counters = self.run, self.run.counters
        if not run.evaluation_due and not is_row(counters.step, self.row_every):
            return
        self.train_loss = run.take_train_loss()  # waits for the device
        took_s = max(self._row_watch.lap(), 1e-9)
        self._metric("train", "loss", self.train_loss)
        self._metric("train", "lr", run.lr)
        self._metric("train", "grad_norm", float(run.grad_norm))
        self._metric("train", "tokens_per_s", (counters.tokens - self._tokens_at_row) / took_s)
        self._metric("train", "flops", counters.flops)
        self._metric("train", "tokens", counters.tokens)

    def report_evaluation(self, evaluation: Evaluation) -> None:
        """Record a validation pass, and the metrics of blocks."""
        run = self.run
        self._metric("val", "loss", evaluation.loss)
        self._metric("val", "bits_per_byte", bits_per_byte(evaluation.loss, run.corpus.val_bytes_per_token))
        if evaluation.accuracy is not None:
            self._metric("val", "accuracy", evaluation.accuracy)
        for name, value in run.block_metrics().items():
            self._metric("val", name, value)

    def report_stage(self) -> None:
        """Record the stage of a curriculum that has begun, and the plasticity that it sets."""
        run = self.run
        self._metric("train", "stage", run.stage)
        if plasticity := run.spec.curriculum[run.stage].plasticity:
            self._metric("train", "plasticity", plasticity)

    def report_progress_when_due(self, path: TrajectoryPoint | None) -> None:
        """Tell where the trial stands, with the newest observation of its path, when the time for that has come."""
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_EVERY_S:
            self.recorder.progress(self._progress(now, path))
            self._progress_at, self._tokens_at_progress = now, self.run.counters.tokens

    def _metric(self, split: str, name: str, value: float) -> None:
        self.recorder.record(Metric(step=self.run.counters.step, split=split, name=name, value=value))

    def _progress(self, now: float, path: TrajectoryPoint | None) -> TrialProgress:
        run, counters = self.run, self.run.counters
        self.watch.add_to(counters)
        remaining = counters.elapsed_s * max(1 / run.progress - 1, 0) if run.progress > 0 else math.inf
        return TrialProgress(
            step=counters.step,
            progress=min(run.progress, 1.0),
            depth=n_run(run.model.layout.blocks),
            phase="probe" if run.branch else run.growth.phase,
            train_loss=float(run.loss_sum) / run.loss_count if run.loss_count else self.train_loss,
            val_loss=finite(counters.val_loss),
            tau=path.tau if path else None,
            kappa=path.kappa if path else None,
            tokens_per_s=(counters.tokens - self._tokens_at_progress) / (now - self._progress_at),
            remaining_s=remaining,
        )
