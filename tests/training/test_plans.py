"""A whole stack that doubles twice while a trial trains: on time, in one event of several rows, resumed bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from growlab.records import GrowthEvent
from growlab.specs import TrialSpec

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest

# 45 steps: grows after steps 15 and 30, from two units to four and to eight; each warm-up has four steps.
PLAN = {
    "layout": "d=16 attn[n_heads=2] mlp conv",
    "trigger": {"at": {"shares": "0.33 0.66"}},
    "operator": "stack",
    "position": "interleaved",
    "factor": 2,
    "entry_scale": 0.3,
    "moment_scale": 0.5,
    "new_lr_factor": 1.5,
    "dropout": 0.2,
    "eval_every": 7,
    "max_depth": 12,
}
MOMENTS = {
    14: "right before growth",
    15: "right after growth",
    17: "in the warm-up",
    19: "at its end",
    20: "in the cool-down",
    30: "right after the second growth",
    32: "in its warm-up",
    44: "before the last step",
}


@pytest.fixture(scope="module")
def spec(make_spec: MakeSpec) -> TrialSpec:
    return make_spec(**PLAN)


@pytest.fixture(scope="module")
def whole(new_trial: NewTrial, spec: TrialSpec) -> Any:
    trial = new_trial(spec)
    trial.attempt()
    return trial


def ending(trial: Any) -> tuple[Any, ...]:
    [model] = [artifact for artifact in trial.recorder.artifacts if artifact.kind == "model"]
    return trial.recorder.timeless, replace(trial.recorder.result, elapsed_s=0.0), model.sha256


def test_each_growth_is_one_event_with_a_row_for_each_unit(whole: Any) -> None:
    rows: list[GrowthEvent] = whole.recorder.growths

    assert [(row.step, row.position, row.unit) for row in rows] == [
        (15, 1, "attn[n_heads=2] mlp"),
        (15, 3, "conv"),
        (30, 1, "attn[n_heads=2] mlp"),
        (30, 3, "attn[n_heads=2] mlp"),
        (30, 5, "conv"),
        (30, 7, "conv"),
    ]
    assert [(row.depth_before, row.depth_after) for row in rows] == [(3, 6)] * 2 + [(6, 12)] * 4
    assert {row.reason for row in rows} == {"at"}
    for step in (15, 30):  # one event: measured once before and once after, no evaluation being due
        [measured] = {(row.val_loss_before, row.val_loss_after) for row in rows if row.step == step}
        assert measured[0] != measured[1]
    assert whole.recorder.result.depth_end == 12


@pytest.mark.parametrize("stop", MOMENTS, ids=MOMENTS.values())
def test_a_plan_that_was_interrupted_is_the_plan_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, stop: int
) -> None:
    trial = new_trial(spec)
    assert trial.attempt(stop_at=stop) is None

    trial.attempt()

    assert ending(trial) == ending(whole)


def test_a_plan_that_was_killed_again_and_again_is_the_plan_that_was_not(
    new_trial: NewTrial, spec: TrialSpec, whole: Any, killed: type[Exception]
) -> None:
    trial = new_trial(spec)
    for stop, died in ((13, 16), (16, 18), (18, 31), (31, 33), (36, 44)):
        trial.attempt(stop_at=stop)
        with pytest.raises(killed):
            trial.attempt(die_at=died)

    trial.attempt()

    assert ending(trial) == ending(whole)


def test_new_units_begin_with_a_share_of_their_originals_moments(
    new_trial: NewTrial, make_spec: MakeSpec, corpus: Any
) -> None:
    from growlab.training.run import fresh_run

    run = fresh_run(make_spec(**PLAN), corpus, torch.device("cpu"))
    for _ in range(5):
        run.train_step()
    before = run.optimizer.state()

    grown = run.growth.grow(5)
    run.adopt_units(grown)

    after = run.optimizer.state()
    assert all(torch.equal(after[name], moment) for name, moment in before.items())  # the old ones', to the bit
    for old, new in (("units.0.", "units.2."), ("units.1.", "units.3.")):
        of_old = {name: moment for name, moment in before.items() if name.startswith(old)}
        assert of_old
        for name, moment in of_old.items():
            scale = {"step": 1, "exp_avg": 0.5, "exp_avg_sq": 0.25}[name.rpartition("/")[2]]
            assert torch.equal(after[new + name.removeprefix(old)], moment * scale)


def test_parameters_that_grew_have_their_own_lr(make_spec: MakeSpec, corpus: Any) -> None:
    from growlab.training.run import fresh_run

    run = fresh_run(make_spec(**PLAN | {"rewarm_steps": 0}), corpus, torch.device("cpu"))
    run.train_step()
    run.adopt_units(run.growth.grow(1))
    run.growth.advance_to(10)

    run.train_step()

    lrs = {group["born"]: float(group["lr"]) for group in run.optimizer._adamw.param_groups}
    assert lrs[1] == pytest.approx(1.5 * lrs[0])


def test_what_corrected_acts_on_is_a_metric(make_spec, new_trial) -> None:
    trigger = {"corrected": {"patience": 1, "drift_crit": 1e-6}}
    spec = make_spec(trigger=trigger, steps=20, collect_interval_steps=1, eval_every=5, history_window_size=9)
    trial = new_trial(spec)

    trial.attempt()

    told = [fact for fact in trial.recorder.facts if getattr(fact, "name", "") == "lasting_drift"]
    assert [fact.step for fact in told][:2] == [4, 5]  # three increments, then four
    assert all(fact.split == "train" for fact in told)
