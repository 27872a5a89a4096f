"""A trial, from its spec to its result. Read `run_trial`: it is the story, in the order in which it happens."""

import math
from collections.abc import Callable, Sequence

import torch

from growlab.data.corpus import Corpus, require_windows
from growlab.defaults import CHECKPOINT_EVERY_S
from growlab.errors import CheckpointError
from growlab.growth.moment import Moment
from growlab.growth.telemetry import mean_back_test, mean_lasting_drift, observe, observe_others
from growlab.layout import Layout, n_run
from growlab.model.language_model import short_unit_text
from growlab.named import Named
from growlab.recipes import TRIGGERS
from growlab.records import GrowthEvent, Metric, Paused, TrajectoryPoint, TrialResult, TrialState
from growlab.rungs import Ladder
from growlab.specs import TrialSpec
from growlab.stopping import StopRules
from growlab.training.at_end import require_known
from growlab.training.beginning import first_run
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.climbing import Climbing
from growlab.training.device import begin_peak
from growlab.training.leak import TOLERANCE as LEAK_TOLERANCE
from growlab.training.leak import leak
from growlab.training.pause import Pause
from growlab.training.probing import HeldBack, Probing
from growlab.training.recorder import Receiver, Recorder
from growlab.training.reporting import FINITE_EVERY, Reporter
from growlab.training.run import Evaluated, TrialRun
from growlab.training.saving import Saver
from growlab.training.stopping import Judge, Stopping
from growlab.training.timing import Stopwatch

LEAK_EVERY = 10  # evaluations, from one look for a leak to the next, besides the first and the last


def run_trial(
    spec: TrialSpec,
    corpus: Corpus,
    recorder: Recorder,
    *,
    device: torch.device,
    folder: CheckpointFolder,
    should_stop: Callable[[], bool] = lambda: False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    ladder: Ladder | None = None,
    rules: StopRules | None = None,
    judge: Judge | None = None,
    asked: Sequence[Named] = (),
) -> TrialResult | Paused | None:
    """Train to the end of the budget, or go on from the newest checkpoint; None when asked to stop.

    Everything it learns goes to `recorder`; when it returns a result, that is durable. With a `ladder` it is read at
    rungs, and ends at the first that it may not pass, from where another ladder lets it go on as if it had not waited:
    then its checkpoint is durable. `rules` may stop it; where it is read `judge` compares it with others, and if it
    goes on it is saved soon, so that others are compared with it. Asked to stop, it saves where it is; DatabaseAway
    says that the recorder did not take it within `saving.LAST_COMMIT_S`, and the one before counts. Checkpoints come at
    least `checkpoint_every_s` apart, further where they are dear. When it has completed, the metrics that are `asked`
    are measured. Raises DataError for a corpus too short, NotRegistered for a metric that is not known here,
    CheckpointError when the disk refuses, and whatever recorder and judge raise (LeaseLost, DatabaseAway).
    """
    require_windows(corpus, spec.train.seq_len)
    require_known(asked)
    begin_peak(device)
    run = open_run(spec, corpus, recorder, device, folder)
    recorder.began(run.counters.step)
    watch = Stopwatch()
    facts = HeldBack(run, recorder)
    reporter = Reporter(run, facts, watch)
    saver = Saver(run, recorder, folder, watch, checkpoint_every_s, asked)
    attempt = Attempt(run, facts, reporter)
    probing = Probing(attempt)
    climbing = Climbing(attempt, ladder)
    stopping = Stopping(attempt, rules, judge)

    while not run.finished:
        if should_stop():
            saver.put_down()
            return None
        reporter.begin_step()
        run.train_step()
        attempt.end_pause()
        fault = follow_up(attempt, probing)
        if fault is not None and not probing.goes_on_without(fault):
            return saver.finish(fault)
        attempt.follow_curriculum()
        if stop := stopping.by_itself():
            return saver.stop(stop)
        match climbing.climb():
            case Paused() as paused:
                saver.pause()
                return paused
            case TrialState() as fault:
                return saver.finish(fault)
        if stop := stopping.among_others(climbing.newest):
            return saver.stop(stop)
        if climbing.newest and judge:
            saver.make_due()
        reporter.report_progress_when_due(attempt.path)
        saver.save_when_due()

    return saver.finish(TrialState.COMPLETED)


def follow_up(attempt: "Attempt", probing: Probing) -> TrialState | None:
    """Do what may be due after a step: look, thaw, take a snapshot, evaluate, grow. Return the fault that was found."""
    run, step = attempt.run, attempt.run.counters.step
    if step % FINITE_EVERY == 0 and not run.is_finite():
        return TrialState.DIVERGED

    if run.growth.advance_to(step):  # the warm-up is over: everything trains again
        attempt.thaw()

    if run.growth.snapshot_due(step):
        attempt.observe()

    attempt.reporter.report_training()

    wants_to_grow = run.growth.is_due(run.progress)
    if run.evaluation_due:
        val_loss = attempt.evaluate()
        if not math.isfinite(val_loss):
            return TrialState.DIVERGED
        if attempt.leaks():
            return TrialState.LEAK
        wants_to_grow |= run.growth.ask_trigger(attempt.moment(val_loss), may_grow=run.branch is None)
    if run.branch_over:
        probing.end_branch(run.counters.val_loss)
    elif wants_to_grow and run.branch is None and not run.finished:
        probing.grow()
    return None


def open_run(
    spec: TrialSpec, corpus: Corpus, recorder: Recorder, device: torch.device, folder: CheckpointFolder
) -> TrialRun:
    """Go on from the committed checkpoint if there is one that can be read, else from step 0, which is always right."""
    checkpoint = recorder.checkpoint()
    if checkpoint is None:
        return first_run(spec, corpus, device)
    try:
        return folder.load(checkpoint, spec, corpus, device)
    except CheckpointError as error:
        recorder.start_over(f"started again from step 0: {error}")
        return first_run(spec, corpus, device)


class Attempt:
    """Acts on a trial between its steps: watches the path of its weights, evaluates, grows, thaws, moves on a stage."""

    def __init__(self, run: TrialRun, recorder: Receiver, reporter: Reporter) -> None:
        self.run, self.recorder, self.reporter = run, recorder, reporter
        self.pause = Pause(run.device)
        self.path: TrajectoryPoint | None = None  # the mean of the newest observation: what the trigger acts on
        self.lasting_drift: float | None = None  # of the same observation
        self._looked_at: Layout | None = None  # by the leak alarm
        self.recall()

    def recall(self) -> None:
        """Look at the window as it is, and measure speed anew: the run stands where it did not stand a moment ago."""
        run = self.run
        self.path = self.lasting_drift = None
        self._keep_mean(observe(run.growth.window, step=run.counters.step, unit=run.growth.watched))
        self.reporter.begin_anew()

    def observe(self) -> None:
        """Take a snapshot of the watched units and report the statistics of their paths."""
        run, step = self.run, self.run.counters.step
        run.counters.flops += run.growth.snapshot()
        points = observe(run.growth.window, step=step, unit=run.growth.watched)
        for point in [*points, *observe_others(run.growth.paths, step=step, units=run.growth.places)]:
            self.recorder.record(point)
        self._keep_mean(points)
        if points:
            named = {"lasting_drift": self.lasting_drift, "back_test": mean_back_test(run.growth.window)}
            for name, value in named.items():
                if value is not None:
                    self.recorder.record(Metric(step=step, split="train", name=name, value=value))

    def evaluate(self) -> float:
        """Make a full validation pass, report it and return its loss."""
        run, counters = self.run, self.run.counters
        evaluation = run.evaluate()
        if math.isfinite(evaluation.loss):
            here = Evaluated(step=counters.step, flops=counters.flops, val_loss=evaluation.loss)
            counters.evaluated = (*counters.evaluated[-1:], here)
        self.reporter.report_evaluation(evaluation)
        return evaluation.loss

    def moment(self, val_loss: float) -> Moment:
        """Make the moment that a trigger sees, at an evaluation of this loss."""
        run, counters = self.run, self.run.counters
        return Moment(
            step=counters.step,
            progress=run.progress,
            flops=counters.flops,
            train_loss=self.reporter.train_loss,
            val_loss=val_loss,
            path=self.path,
            lasting_drift=self.lasting_drift,
        )

    def leaks(self) -> bool:
        """Whether the model is seen to see tokens that it should predict.

        Looks where this attempt has not seen the layout yet, at every tenth evaluation and at the last, a branch's too,
        as a trial may end with it: a leak is a fault of a block, and mostly shows at once.
        """
        run = self.run
        layout, n_th = run.model.layout, run.counters.step // run.spec.train.eval_every
        if layout == self._looked_at and n_th % LEAK_EVERY and not (run.finished or run.branch_over):
            return False
        self._looked_at = layout
        return leak(run.model, run.corpus.val, run.spec.train.seq_len, run.device) > LEAK_TOLERANCE

    def grow(self) -> None:
        """Insert the units of a growth, hand them to the optimizer, and measure what that did to the function."""
        run, step = self.run, self.run.counters.step
        if not run.evaluation_due:  # else this step's loss is known
            run.evaluate()
        self.pause.begin(step)
        path, before, depth = self.path, run.counters.val_loss, n_run(run.model.layout.blocks)
        grown = run.growth.grow(step)
        run.adopt_units(grown)
        run.counters.grown_step, run.counters.grown_flops = step, run.counters.trained_flops
        after = run.evaluate().loss
        self.path = self.lasting_drift = None  # the window is empty
        for unit in grown:
            self.recorder.record(
                GrowthEvent(
                    step=step,
                    position=unit.position,
                    unit=short_unit_text(unit.blocks),
                    operator=unit.operator,
                    reason=run.spec.growth.trigger.name,
                    tau=path.tau if path else None,
                    kappa=path.kappa if path else None,
                    val_loss_before=before,
                    val_loss_after=after,
                    depth_before=depth,
                    depth_after=n_run(run.model.layout.blocks),
                    n_params_after=run.n_params,
                )
            )
        self.end_pause()

    def follow_curriculum(self) -> None:
        """Begin the next stage with the next step, where it is due, and report it and the plasticity that it sets.

        After all else of a step and before its checkpoint, so that whoever goes on from there finds it told.
        """
        if self.run.advance_stage():
            self.reporter.report_stage()

    def thaw(self) -> None:
        """Train with everything again."""
        self.pause.begin(self.run.counters.step)
        self.run.refit_step()
        self.end_pause()

    def end_pause(self) -> None:
        """Report how long a growth or a thaw kept training from full speed, once the engine is back at it."""
        if self.run.engine.settled and (pause := self.pause.end()):
            self.recorder.record(pause)

    def _keep_mean(self, points: list[TrajectoryPoint]) -> None:
        if points:
            self.path = points[0]
            if TRIGGERS[self.run.spec.growth.trigger.name].options.wants_lasting_drift:
                self.lasting_drift = mean_lasting_drift(self.run.growth.window)
