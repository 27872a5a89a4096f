"""A trial, from its spec to its result. Read `run_trial`: it is the story, in the order in which it happens."""

import math
import time
from collections.abc import Callable

import torch

from growlab.data.corpus import Corpus, require_windows
from growlab.defaults import CHECKPOINT_EVERY_S
from growlab.errors import CheckpointError, DatabaseAway
from growlab.finite import finite
from growlab.growth.moment import Moment
from growlab.growth.telemetry import observe
from growlab.kinds import shorten
from growlab.layout import format_layout
from growlab.model.cost import expected_steps
from growlab.model.language_model import short_unit_text
from growlab.records import Artifact, GrowthEvent, Metric, TrajectoryPoint, TrialProgress, TrialResult, TrialState
from growlab.specs import TrialSpec
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.leak import TOLERANCE as LEAK_TOLERANCE
from growlab.training.leak import leak
from growlab.training.pause import Pause
from growlab.training.recorder import Recorder
from growlab.training.run import TrialRun, fresh_run
from growlab.training.sample import sample_text
from growlab.training.timing import Stopwatch

FINITE_EVERY = 10  # steps between looks at the loss, each of which waits for the device
TRAIN_ROWS = 200  # of a trial, besides those of its evaluations
PROGRESS_EVERY_S = 0.5
CHECKPOINT_SHARE = 0.02  # of the time at most goes into checkpoints, whatever their size
LAST_COMMIT_S = 20.0  # for a commit under way, and then for the last one, of a trial that was asked to stop
FAULTS = {
    TrialState.DIVERGED: "the loss was no longer a finite number at step {step}",
    TrialState.LEAK: "the model sees tokens that it should predict, noticed at step {step}: one of its blocks leaks",
}


def run_trial(
    spec: TrialSpec,
    corpus: Corpus,
    recorder: Recorder,
    *,
    device: torch.device,
    folder: CheckpointFolder,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> TrialResult | None:
    """Train to the end of the budget, or go on from the newest checkpoint; None when asked to stop.

    Everything it learns goes to `recorder`; when it returns a result, that is durable. Asked to stop, it saves where it
    is; DatabaseAway says that the recorder did not take it within LAST_COMMIT_S, and the one before counts. Checkpoints
    come at least `checkpoint_every_s` apart, further where they are dear. Raises DataError for a corpus
    too short, CheckpointError when the disk refuses, and whatever the recorder raises (LeaseLost).
    """
    require_windows(corpus, spec.train.seq_len)
    run = open_run(spec, corpus, recorder, device, folder)
    recorder.began(run.counters.step)
    story = Narrator(run, recorder, folder, checkpoint_every_s)

    while not run.finished:
        if should_stop():
            story.put_down()
            return None
        story.begin_step()
        run.train_step()
        story.end_pause()
        step = run.counters.step

        if step % FINITE_EVERY == 0 and not run.is_finite():
            return story.finish(TrialState.DIVERGED)

        if run.growth.advance_to(step):  # the warm-up is over: everything trains again
            story.thaw()

        if run.growth.snapshot_due(step):
            story.observe()

        story.report_training()

        if run.evaluation_due:
            val_loss = story.evaluate()
            if not math.isfinite(val_loss):
                return story.finish(TrialState.DIVERGED)
            if story.leaks():
                return story.finish(TrialState.LEAK)
            if run.growth.wants_to_grow(story.moment(val_loss)) and not run.finished:
                story.grow()

        story.follow_curriculum()
        story.keep_up()

    return story.finish(TrialState.COMPLETED)


def open_run(
    spec: TrialSpec, corpus: Corpus, recorder: Recorder, device: torch.device, folder: CheckpointFolder
) -> TrialRun:
    """From the committed checkpoint if there is one that can be read, else from step 0, which is always right."""
    checkpoint = recorder.checkpoint()
    if checkpoint is None:
        return fresh_run(spec, corpus, device)
    try:
        return folder.load(checkpoint, spec, corpus, device)
    except CheckpointError as error:
        recorder.start_over(f"started again from step 0: {error}")
        return fresh_run(spec, corpus, device)


def steps_between_rows(n_steps: int) -> int:
    """For a trial of about `n_steps` steps: TRAIN_ROWS of them, when the host looks at the loss anyway."""
    return FINITE_EVERY * max(1, math.ceil(n_steps / (TRAIN_ROWS * FINITE_EVERY)))


def is_row(step: int, every: int) -> bool:
    """Each `every` steps, and before the first of these at 10, 20, 40, …: one step may take a second."""
    n_looks, between = divmod(step, FINITE_EVERY)
    return step % every == 0 or (step < every and not between and n_looks.bit_count() == 1)


class Narrator:
    """What a trial does besides training steps: measure, grow, tell, save."""

    def __init__(self, run: TrialRun, recorder: Recorder, folder: CheckpointFolder, checkpoint_every_s: float) -> None:
        self.run, self.recorder, self.folder = run, recorder, folder
        self.checkpoint_every_s = checkpoint_every_s
        self.watch = Stopwatch()
        self.pause = Pause(run.device)
        self.path: TrajectoryPoint | None = None  # the mean of the newest observation: what the trigger acts on
        self.row_every = steps_between_rows(expected_steps(run.spec, run.model.vocab_size))
        self._train_loss = math.nan  # of the newest row
        self._row_watch, self._tokens_at_row = Stopwatch(), run.counters.tokens
        self._progress_at = time.monotonic()
        self._checkpoint_due = self._progress_at + checkpoint_every_s
        self._tokens_at_progress = run.counters.tokens
        self._unsettled: Artifact | None = None  # a checkpoint that is not known to be durable yet
        self._look(observe(run.growth.window, step=run.counters.step, unit=run.growth.watched))

    def observe(self) -> None:
        """Take a snapshot of the newest unit and report the shape of its path."""
        run = self.run
        run.counters.flops += run.growth.window.snapshot(run.model.units[run.growth.watched])
        points = observe(run.growth.window, step=run.counters.step, unit=run.growth.watched)
        for point in points:
            self.recorder.record(point)
        self._look(points)

    def begin_step(self) -> None:
        """Take the time of the first step of a row: evaluations and growths between two rows slow nothing down."""
        if self.run.loss_count == 0:
            self._row_watch, self._tokens_at_row = Stopwatch(), self.run.counters.tokens

    def report_training(self) -> None:
        """A row, where one is due: the mean loss and the speed since the row before, lr and gradient norm of the last
        step, the totals.

        Which steps have one depends on the spec alone. A resumed attempt measures its first row's speed from where
        it began; all else is what it was.
        """
        run, counters = self.run, self.run.counters
        if not run.evaluation_due and not is_row(counters.step, self.row_every):
            return
        self._train_loss = run.take_train_loss()  # waits for the device
        took_s = max(self._row_watch.lap(), 1e-9)
        self._metric("train", "loss", self._train_loss)
        self._metric("train", "lr", run.lr)
        self._metric("train", "grad_norm", float(run.grad_norm))
        self._metric("train", "tokens_per_s", (counters.tokens - self._tokens_at_row) / took_s)
        self._metric("train", "flops", counters.flops)
        self._metric("train", "tokens", counters.tokens)

    def evaluate(self) -> float:
        """The loss of a full validation pass, which is reported."""
        run = self.run
        evaluation = run.evaluate()
        self._metric("val", "loss", evaluation.loss)
        self._metric("val", "bits_per_byte", bits_per_byte(evaluation.loss, run.corpus.val_bytes_per_token))
        if evaluation.accuracy is not None:
            self._metric("val", "accuracy", evaluation.accuracy)
        for name, value in run.measures().items():
            self._metric("val", name, value)
        return evaluation.loss

    def moment(self, val_loss: float) -> Moment:
        """What a trigger sees, at an evaluation of this loss."""
        run, counters = self.run, self.run.counters
        return Moment(
            step=counters.step,
            progress=run.progress,
            flops=counters.flops,
            train_loss=self._train_loss,
            val_loss=val_loss,
            path=self.path,
        )

    def leaks(self) -> bool:
        """Whether the model sees tokens that it should predict."""
        run = self.run
        return leak(run.model, run.corpus.val, run.spec.train.seq_len, run.device) > LEAK_TOLERANCE

    def grow(self) -> None:
        """Insert a unit, hand it to the optimizer, and measure what that did to the function."""
        run, step = self.run, self.run.counters.step
        self.pause.begin(step)
        path, before, depth = self.path, run.counters.val_loss, run.model.layout.depth
        grown = run.growth.grow(step)
        run.adopt_unit(grown.position)
        after = run.evaluate().loss
        self.path = None  # the window is empty
        self.recorder.record(
            GrowthEvent(
                step=step,
                position=grown.position,
                unit=short_unit_text(grown.blocks),
                operator=grown.operator,
                reason=run.spec.growth.trigger.name,
                tau=path.tau if path else None,
                kappa=path.kappa if path else None,
                val_loss_before=before,
                val_loss_after=after,
                depth_before=depth,
                depth_after=run.model.layout.depth,
                n_params_after=run.n_params,
            )
        )
        self.end_pause()

    def follow_curriculum(self) -> None:
        """Begin the next stage with the next step, where it is due, and report it and the plasticity that it sets.

        After all else of a step and before its checkpoint, so that whoever goes on from there finds it told.
        """
        run = self.run
        if run.advance_stage():
            self._metric("train", "stage", run.stage)
            if plasticity := run.spec.curriculum[run.stage].plasticity:
                self._metric("train", "plasticity", plasticity)

    def thaw(self) -> None:
        """Train with everything again."""
        self.pause.begin(self.run.counters.step)
        self.run.refit_step()
        self.end_pause()

    def end_pause(self) -> None:
        """Once the engine is at full speed again after a growth or a thaw, report how long it was not."""
        if self.run.engine.settled and (pause := self.pause.end()):
            self.recorder.record(pause)

    def keep_up(self) -> None:
        """Tell where the trial stands and save it, each when its time has come."""
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_EVERY_S:
            self.recorder.progress(self._progress(now))
            self._progress_at, self._tokens_at_progress = now, self.run.counters.tokens
        if now >= self._checkpoint_due and self.settle():
            self.checkpoint()

    def checkpoint(self) -> None:
        """Save everything and begin to make the facts so far durable with it."""
        began = time.monotonic()
        self.watch.add_to(self.run.counters)
        self._unsettled = self.folder.save(self.run)
        saved = time.monotonic()
        self.recorder.commit(self._unsettled)
        settled, ended = self.settle(), time.monotonic()
        cost_s = (ended if settled else saved) - began  # not the wait for a database that is away
        self._checkpoint_due = ended + max(self.checkpoint_every_s, cost_s / CHECKPOINT_SHARE)

    def settle(self, within_s: float = 0.0) -> bool:
        """Whether the last checkpoint is durable; those before it are deleted then, and not sooner."""
        if not self.recorder.settled(within_s):
            return False
        if self._unsettled is not None:
            self.folder.forget_before(self._unsettled)
            self._unsettled = None
        return True

    def put_down(self) -> None:
        """Save where the trial is. Raises DatabaseAway where the recorder does not take it in time."""
        if self.settle(LAST_COMMIT_S):
            self.checkpoint()
        if not self.settle(LAST_COMMIT_S):
            raise DatabaseAway(f"the database did not take the last checkpoint within {LAST_COMMIT_S:.0f} s")

    def finish(self, state: TrialState) -> TrialResult:
        """Report the result; of a completed trial save the model and a sample of its text."""
        run = self.run
        artifacts: list[Artifact] = []
        sample = ""
        if state is TrialState.COMPLETED:
            artifacts = [self.folder.save_model(run), self.folder.save_tokenizer(run.corpus.tokenizer)]
            sample = sample_text(run)  # last: it may take the model from its device
        error = FAULTS.get(state, "").format(step=run.counters.step)
        self.watch.add_to(run.counters)
        result = make_result(run, state, sample, error)
        self.recorder.finish(result, artifacts)
        self.folder.forget_all()
        return result

    def _metric(self, split: str, name: str, value: float) -> None:
        self.recorder.record(Metric(step=self.run.counters.step, split=split, name=name, value=value))

    def _look(self, points: list[TrajectoryPoint]) -> None:
        if points:
            self.path = points[0]

    def _progress(self, now: float) -> TrialProgress:
        run, counters = self.run, self.run.counters
        self.watch.add_to(counters)
        remaining = counters.elapsed_s * (1 / run.progress - 1) if run.progress > 0 else math.inf
        return TrialProgress(
            step=counters.step,
            progress=min(run.progress, 1.0),
            depth=run.model.layout.depth,
            phase=run.growth.phase,
            train_loss=float(run.loss_sum) / run.loss_count if run.loss_count else self._train_loss,
            val_loss=finite(counters.val_loss),
            tau=self.path.tau if self.path else None,
            kappa=self.path.kappa if self.path else None,
            tokens_per_s=(counters.tokens - self._tokens_at_progress) / (now - self._progress_at),
            remaining_s=remaining,
        )


def make_result(run: TrialRun, state: TrialState, sample: str, error: str) -> TrialResult:
    counters, layout = run.counters, run.model.layout
    val_loss = finite(counters.val_loss)
    return TrialResult(
        state=state,
        layout_end=format_layout(shorten(layout)),
        depth_end=layout.depth,
        n_params=run.n_params,
        val_loss=val_loss,
        best_val_loss=finite(counters.best_val_loss),
        bits_per_byte=None if val_loss is None else bits_per_byte(val_loss, run.corpus.val_bytes_per_token),
        flops=counters.flops,
        tokens=counters.tokens,
        steps=counters.step,
        elapsed_s=counters.elapsed_s,
        sample=sample,
        error=error,
        engine=run.engine.name,
    )


def bits_per_byte(nats_per_token: float, bytes_per_token: float) -> float:
    """Comparable between tokenisers: nats per token / (ln 2 · bytes per token)."""
    return nats_per_token / (math.log(2) * bytes_per_token)
