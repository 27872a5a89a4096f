"""How long a growth keeps training from its full speed is on record, once for each stop.

The trial of these tests grows at steps 15 and 30; its warm-ups end, everything thaws, at 19 and 34.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from growlab.records import Metric
from growlab.specs import TrialSpec
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.engine import EagerEngine, Execution
from growlab.training.run import TrialRun
from growlab.training.trial import run_trial

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest


class Clock:
    """What pauses are measured with, in place of the module `time`: it goes on only where a test says so."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("growlab.training.timing.time", clock)
    return clock


class SlowStarter(EagerEngine):
    """Eager steps of which the first few after a change are slow, as where something is recorded."""

    n_slow = 3
    slow_s = 0.25
    clock: "Clock"

    def __init__(self, execution: Execution, compute: Callable[..., None]) -> None:
        super().__init__(execution, compute)
        self.name = "slow starter"
        self.n_steps = 0

    @property
    def settled(self) -> bool:
        return self.n_steps >= self.n_slow

    def step(self, inputs: tuple[Tensor, ...]) -> None:
        if not self.settled:
            self.clock.now += self.slow_s
        self.n_steps += 1
        super().step(inputs)

    def forget(self) -> None:
        self.n_steps = 0


@pytest.fixture
def slow_starter(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> type[SlowStarter]:
    monkeypatch.setattr(SlowStarter, "clock", clock, raising=False)
    monkeypatch.setattr("growlab.training.run.engine_for", lambda how, compute, device: SlowStarter(how, compute))
    return SlowStarter


@pytest.fixture
def slow_evaluation(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds that an evaluation takes."""
    evaluate, seconds = TrialRun.evaluate, 0.25

    def slowly(self: TrialRun) -> float:
        clock.now += seconds
        return evaluate(self)

    monkeypatch.setattr(TrialRun, "evaluate", slowly)
    return seconds


def pauses(recorder: Any) -> dict[int, float]:
    """Step to seconds."""
    told = [fact for fact in recorder.facts if isinstance(fact, Metric) and fact.name == "pause_s"]
    assert {fact.split for fact in told} <= {"train"}
    assert len({fact.step for fact in told}) == len(told)
    return {fact.step: fact.value for fact in told}


def test_every_growth_and_every_thaw_has_its_pause(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec())

    result = trial.attempt()

    assert list(pauses(trial.recorder)) == [15, 19, 30, 34]
    assert all(value > 0 for value in pauses(trial.recorder).values())
    assert sum(pauses(trial.recorder).values()) < result.elapsed_s


def test_a_trial_that_does_not_grow_has_no_pause(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(trigger="never", steps=10))

    trial.attempt()

    assert pauses(trial.recorder) == {}


def test_the_evaluation_after_a_growth_is_part_of_its_pause(
    make_spec: MakeSpec, new_trial: NewTrial, slow_evaluation: float
) -> None:
    trial = new_trial(make_spec(steps=25))

    trial.attempt()

    assert pauses(trial.recorder)[15] == slow_evaluation  # the one before it is not in it


def test_an_evaluation_that_is_due_at_a_thaw_is_no_part_of_its_pause(
    make_spec: MakeSpec, new_trial: NewTrial, slow_evaluation: float
) -> None:
    trial = new_trial(make_spec(steps=25, freeze_steps=5))

    trial.attempt()

    assert pauses(trial.recorder)[20] == 0


def test_a_growth_at_the_step_of_a_thaw_tells_the_sum_of_both(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(steps=35, freeze_steps=10, cooldown_steps=0, patience=1))

    trial.attempt()

    told = [fact for fact in trial.recorder.facts if isinstance(fact, Metric) and fact.name == "pause_s"]
    growths = [event.step for event in trial.recorder.growths]
    assert growths == [10, 20]
    assert [fact.step for fact in told] == [10, 20, 20, 30]
    assert told[2].value > told[1].value  # the row with that key is written twice, and this comes last


@pytest.mark.usefixtures("slow_starter")
def test_a_pause_lasts_until_the_engine_has_settled(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec())

    result = trial.attempt()

    assert list(pauses(trial.recorder)) == [15, 19, 30, 34]
    assert set(pauses(trial.recorder).values()) == {3 * SlowStarter.slow_s}
    assert result.engine == "slow starter"


def test_a_thaw_before_full_speed_prolongs_the_pause_of_the_growth(
    make_spec: MakeSpec, new_trial: NewTrial, slow_starter: type[SlowStarter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_starter, "n_slow", 6)  # the warm-up is over after 4 steps, and it begins anew
    trial = new_trial(make_spec(steps=29))

    trial.attempt()

    assert list(pauses(trial.recorder)) == [15]
    assert pauses(trial.recorder)[15] == (4 + 6) * SlowStarter.slow_s


@pytest.mark.usefixtures("slow_starter")
def test_a_trial_resumed_in_the_middle_of_a_pause_has_no_figure_for_it(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    trial = new_trial(make_spec())
    trial.attempt(stop_at=16)

    trial.attempt()

    assert list(pauses(trial.recorder)) == [19, 30, 34]


@pytest.mark.usefixtures("slow_starter")
def test_a_checkpoint_in_the_middle_of_a_pause_loses_nothing_of_it(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec())

    trial.attempt(checkpoint_every_s=0.0)  # one after every step

    assert list(pauses(trial.recorder)) == [15, 19, 30, 34]


@pytest.mark.usefixtures("slow_starter")
def test_a_trial_that_ends_before_full_speed_has_no_figure_for_its_last_pause(
    make_spec: MakeSpec, new_trial: NewTrial
) -> None:
    trial = new_trial(make_spec(steps=32))

    trial.attempt()

    assert list(pauses(trial.recorder)) == [15, 19]
    assert trial.recorder.growths[-1].step == 30


@pytest.mark.gpu
def test_on_a_gpu_a_pause_lasts_until_the_step_is_recorded_again(
    make_spec: MakeSpec, new_trial: NewTrial, list_recorder: type[Any]
) -> None:
    trial = new_trial(make_spec(steps=100, freeze_steps=8))
    recorder = list_recorder()

    result = run_trial(
        trial.spec, trial.corpus, recorder, device=torch.device("cuda"), folder=CheckpointFolder(trial.root, "trial")
    )

    assert result is not None
    assert result.engine == "graph"
    assert list(pauses(recorder)) == [15, 23, 35, 43]
    assert all(value > 0.001 for value in pauses(recorder).values())
    assert sum(pauses(recorder).values()) < result.elapsed_s
