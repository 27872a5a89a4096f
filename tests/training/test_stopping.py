"""Where a stop rule ends a trial, and that a trial that no rule ends is the one without any, bit for bit."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from growlab.records import EarlyStop, GrowthEvent, RungReading, TrialState
from growlab.rungs import Ladder
from growlab.specs import TrialSpec
from growlab.stopping import DivergenceRule, MedianRule, PatienceRule, StopRules
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.run import Counters, Evaluated
from growlab.training.stopping import Judge, Stopping
from growlab.training.trial import run_trial

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest

PLAIN = {"trigger": "never", "watch": "newest"}
LATE = StopRules(
    median=MedianRule(first=0.2, factor=2), patience=PatienceRule(evaluations=99), divergence=DivergenceRule()
)


class Course:
    """A trial of 100 steps whose evaluations are written down: what rules see of it, without its training."""

    def __init__(self, rules: StopRules, unit: str = "steps") -> None:
        self.counters, self.finished, self.branch, self.progress = Counters(), False, None, 0.0
        per_step = {"steps": 1, "tokens": 64, "flops": 1000}[unit]
        self.spec = SimpleNamespace(
            budget=SimpleNamespace(unit=unit, amount=100 * per_step),
            train=SimpleNamespace(batch_size=4, seq_len=16),
        )
        self.reporter = SimpleNamespace(train_loss=math.nan)
        self.stopping = Stopping(SimpleNamespace(run=self, reporter=self.reporter), rules, None)  # type: ignore[arg-type]

    def train(self, until: int) -> None:
        self.counters.step, self.counters.flops, self.progress = until, 1000 * until, until / 100

    def evaluate(self, step: int, val_loss: float, train_loss: float = 1.0) -> EarlyStop | None:
        """Train up to a step that ends with an evaluation, and ask the rules."""
        self.train(step)
        self.reporter.train_loss, self.counters.val_loss = train_loss, val_loss
        self.counters.evaluated = (Evaluated(step=step, flops=1000 * step, val_loss=val_loss),)
        return self.stopping.by_itself()

    def grow(self) -> None:
        self.counters.grown_step, self.counters.grown_flops = self.counters.step, self.counters.trained_flops


def stops(course: Course, losses: Sequence[float], train: Sequence[float] = (), *, every: int = 10) -> list[bool]:
    training = train or [1.0] * len(losses)
    pairs = enumerate(zip(losses, training, strict=True), 1)
    return [course.evaluate(every * at, loss, of_train) is not None for at, (loss, of_train) in pairs]


# ---- its own evaluations -----------------------------------------------------------------------------------------


def test_patience_ends_with_so_many_evaluations_in_a_row_that_are_no_better_than_the_best():
    course = Course(StopRules(patience=PatienceRule(evaluations=2, after=0.0)))

    assert stops(course, [5.0, 5.0, 4.0, 4.5, 4.0]) == [False, False, False, False, True]


def test_a_gain_below_the_threshold_is_none():
    course = Course(StopRules(patience=PatienceRule(evaluations=2, threshold=0.1, after=0.0)))

    assert stops(course, [5.0, 4.6, 4.4, 4.3, 4.0]) == [False, False, False, False, True]


def test_patience_waits_for_its_share_of_the_budget_and_counts_meanwhile():
    course = Course(StopRules(patience=PatienceRule(evaluations=2, after=0.5)))

    assert stops(course, [2.0] * 5) == [False, False, False, False, True]


def test_divergence_ends_where_val_loss_rises_while_the_training_loss_falls():
    course = Course(StopRules(divergence=DivergenceRule(evaluations=2, margin=0.1)))

    assert stops(course, [3.0, 2.0, 2.2, 2.3], [3.0, 1.8, 1.6, 1.5]) == [False, False, False, True]


@pytest.mark.parametrize(
    ("losses", "train"),
    [
        ([2.0, 2.2, 2.05, 2.2], [1.8, 1.6, 1.5, 1.4]),  # back within the margin
        ([2.0, 2.2, 2.3, 2.4], [1.8, 1.9, 1.75, 1.9]),  # both rise: no overfitting
        ([2.0, 1.9, 1.8, 1.7], [1.8, 1.6, 1.4, 1.2]),  # both fall
    ],
)
def test_what_is_no_overfitting_is_no_divergence(losses, train):
    assert not any(stops(Course(StopRules(divergence=DivergenceRule(evaluations=2, margin=0.1))), losses, train))


@pytest.mark.parametrize("unit", ["steps", "tokens", "flops"])
def test_no_rule_stops_a_trial_within_the_grace_of_a_growth_and_counting_begins_anew(unit):
    course = Course(StopRules(patience=PatienceRule(evaluations=2, after=0.0), grace=0.2), unit)
    assert stops(course, [2.0, 2.0]) == [False, False]
    course.grow()

    young = [course.evaluate(step, 9.0) is not None for step in (25, 30, 35, 39)]
    grown = [course.evaluate(step, loss) is not None for step, loss in ((40, 5.0), (50, 5.0), (60, 5.0))]

    assert (young, grown) == ([False] * 4, [False, False, True])


def test_the_evaluation_at_which_a_trial_grows_is_of_the_model_before():
    course = Course(StopRules(patience=PatienceRule(evaluations=1, after=0.0), grace=0.0))
    course.evaluate(10, 2.0)
    course.train(20)
    course.grow()

    assert course.evaluate(20, 2.0) is None
    assert course.evaluate(30, 9.0) is None
    assert course.evaluate(40, 9.0) is not None


def test_while_it_is_forked_and_at_the_end_of_its_budget_no_trial_is_stopped():
    forked, finished = (Course(StopRules(patience=PatienceRule(evaluations=1, after=0.0))) for _ in range(2))
    for course in (forked, finished):
        course.evaluate(10, 2.0)
    forked.branch, finished.finished = object(), True  # type: ignore[assignment]

    assert (forked.evaluate(20, 2.0), finished.evaluate(100, 2.0)) == (None, None)


# ---- real trials -------------------------------------------------------------------------------------------------


def train(trial: Any, rules: StopRules | None, judge: Judge | None = None, **options: Any) -> Any:
    """Train as storage's claim of a study with these rules has it."""
    torch.manual_seed(99)
    trial.recorder.begin_attempt()
    marks = rules.marks if rules else None
    return run_trial(
        trial.spec,
        trial.corpus,
        trial.recorder,
        device=torch.device("cpu"),
        folder=CheckpointFolder(trial.root, "trial"),
        rules=rules,
        judge=judge,
        ladder=Ladder.through(marks) if marks else None,
        **{"checkpoint_every_s": math.inf, **options},
    )


def stop_of(trial: Any) -> EarlyStop:
    [stop] = [fact for fact in trial.recorder.facts if isinstance(fact, EarlyStop)]
    return stop


def model_of(trial: Any) -> str:
    [model] = [artifact for artifact in trial.recorder.artifacts if artifact.kind == "model"]
    sha256: str = model.sha256
    return sha256


def test_a_trial_that_no_rule_ends_is_the_trial_without_any_bit_for_bit(make_spec: MakeSpec, new_trial: NewTrial):
    spec = make_spec(flops=28_000_000, dropout=0.2, operator="aiether", entry_scale=1.0, max_depth=4)
    plain, followed = new_trial(spec), new_trial(spec)
    asked: list[RungReading] = []

    train(plain, None)
    train(followed, LATE, asked.append)  # type: ignore[arg-type]  # it stops none

    assert model_of(followed) == model_of(plain)
    assert followed.recorder.growths == plain.recorder.growths != []
    assert [reading.rung for reading in asked] == [0, 1, 2]
    assert [artifact.step for artifact in followed.recorder.commits] == [reading.step for reading in asked]


def test_a_stopped_trial_tells_what_it_came_to_and_leaves_no_file(make_spec: MakeSpec, new_trial: NewTrial):
    trial = new_trial(make_spec(steps=45, lr=1e-9, min_lr_ratio=1.0, **PLAIN))

    result = train(trial, StopRules(patience=PatienceRule(evaluations=3, threshold=0.5, after=0.3)))

    stop = stop_of(trial)
    assert (result.state, result.steps, result.error) == (TrialState.STOPPED, 20, stop.reason)
    assert (stop.rule, stop.step, stop.n_evaluations) == ("patience", 20, 3)
    assert (stop.val_loss, stop.share) == (result.val_loss, pytest.approx(20 / 45))
    assert (result.sample, trial.recorder.artifacts, list(trial.folder.glob("*"))) == ("", [], [])


def test_a_trial_that_was_killed_is_stopped_where_it_would_have_been(
    make_spec: MakeSpec, new_trial: NewTrial, killed: type[Exception]
):
    spec = make_spec(steps=45, lr=1e-9, min_lr_ratio=1.0, **PLAIN)
    rules = StopRules(patience=PatienceRule(evaluations=3, threshold=0.5, after=0.3))
    whole, trial = new_trial(spec), new_trial(spec)
    train(whole, rules)

    with pytest.raises(killed):
        train(trial, rules, should_stop=trial._stopper(-1, 13), checkpoint_every_s=0)
    train(trial, rules)

    assert trial.recorder.beginnings == [0, 13]
    assert stop_of(trial) == stop_of(whole)


def test_a_trial_that_is_worse_than_others_at_its_mark_ends_with_what_it_came_to_there(
    make_spec: MakeSpec, new_trial: NewTrial
):
    """Between two evaluations, of which none has been yet."""
    trial, stop = new_trial(make_spec(flops=45_000_000, eval_every=40, **PLAIN)), None

    def judge(reading: RungReading) -> EarlyStop | None:
        nonlocal stop
        seen = {"step": reading.step, "flops": reading.flops, "val_loss": reading.val_loss, "rung": reading.rung}
        stop = EarlyStop(rule="median", share=0.2, bound=1.0, seen=(0, 1), **seen) if reading.rung else None
        return stop

    result = train(trial, StopRules(median=MedianRule(first=0.2, factor=2)), judge)

    assert (stop_of(trial), result.state) == (stop, TrialState.STOPPED)
    assert result.val_loss == result.best_val_loss == stop_of(trial).val_loss
    assert [fact.rung for fact in trial.recorder.facts if isinstance(fact, RungReading)] == [0, 1]


def test_where_a_growth_is_younger_than_the_grace_nobody_is_asked(make_spec: MakeSpec, new_trial: NewTrial):
    """It grows at step 15, half way to the second mark, and is read there at the next one at the latest."""
    trial, asked = new_trial(make_spec(flops=32_000_000, max_depth=4)), list[RungReading]()
    rules = StopRules(median=MedianRule(first=0.3, factor=1.8), grace=0.9)

    train(trial, rules, asked.append)  # type: ignore[arg-type]  # it stops none

    [growth] = [fact for fact in trial.recorder.facts if isinstance(fact, GrowthEvent)]
    read = [fact for fact in trial.recorder.facts if isinstance(fact, RungReading)]
    assert asked == [reading for reading in read if reading.step <= growth.step]
    assert len(read) > len(asked)
