"""A whole stack that doubles twice while a trial trains: on time, in one event of several rows, resumed bit for bit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from growlab.files import sha256_of
from growlab.headers import write_header
from growlab.records import GrowthEvent, TrajectoryPoint
from growlab.specs import TrialSpec
from growlab.training.checkpoint import read_tensors

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

    lrs = {group.born: float(group.lr) for group in run.optimizer.groups}
    assert lrs[1] == pytest.approx(1.5 * lrs[0])


def test_what_corrected_acts_on_is_a_metric(make_spec, new_trial) -> None:
    trigger = {"corrected": {"patience": 1, "drift_crit": 1e-6}}
    spec = make_spec(trigger=trigger, steps=20, collect_interval_steps=1, eval_every=5, history_window_size=9)
    trial = new_trial(spec)

    trial.attempt()

    told = [fact for fact in trial.recorder.facts if getattr(fact, "name", "") == "lasting_drift"]
    assert [fact.step for fact in told][:2] == [4, 5]  # three increments, then four
    assert all(fact.split == "train" for fact in told)


def test_how_far_half_a_window_predicts_the_other_is_a_metric(whole: Any) -> None:
    told = {fact.step: fact for fact in whole.recorder.facts if getattr(fact, "name", "") == "back_test"}
    points = {fact.step for fact in whole.recorder.facts if isinstance(fact, TrajectoryPoint)}

    assert told.keys() == points
    assert all(fact.split == "train" and abs(fact.value) < 10 for fact in told.values())


# ---- a plan that makes each unit of the path of another -----------------------------------------------------------

FOLLOWING = PLAN | {"operator": "aiether", "collect_interval_steps": 2, "history_window_size": 5, "entry_scale": 1.0}


@pytest.fixture(scope="module")
def following(new_trial: NewTrial, make_spec: MakeSpec) -> Any:
    trial = new_trial(make_spec(**FOLLOWING))
    trial.attempt()
    return trial


def rows_of(trial: Any, step: int) -> list[tuple[int, bool]]:
    """The unit of each row of a step, and whether it is its mean."""
    points = [fact for fact in trial.recorder.facts if isinstance(fact, TrajectoryPoint) and fact.step == step]
    return [(point.unit, point.tensor == "") for point in points]


def test_every_unit_has_its_mean_beside_the_newest_ones_rows(following: Any) -> None:
    for step, newest, n_units in ((14, 1, 2), (28, 3, 4), (44, 7, 8)):
        rows = rows_of(following, step)

        assert [unit for unit, is_mean in rows if is_mean] == [newest, *range(newest), *range(newest + 1, n_units)]
        assert {unit for unit, is_mean in rows if not is_mean} == {newest}


def test_the_units_of_a_doubling_are_of_the_kinds_of_those_that_they_extrapolate(following: Any) -> None:
    units = [(event.unit, event.operator) for event in following.recorder.growths]

    doubled = ["attn[n_heads=2] mlp", "conv", *("attn[n_heads=2] mlp",) * 2, *("conv",) * 2]
    assert units == [(unit, "aiether") for unit in doubled]


@pytest.mark.parametrize("stop", MOMENTS, ids=MOMENTS.values())
def test_a_plan_that_follows_every_path_goes_on_to_the_same_bits(
    new_trial: NewTrial, following: Any, stop: int, killed: type[Exception]
) -> None:
    trial = new_trial(following.spec)
    assert trial.attempt(stop_at=stop) is None
    with pytest.raises(killed):
        trial.attempt(die_at=min(stop + 3, 44))

    trial.attempt()

    assert ending(trial) == ending(following)


def test_sketches_go_on_to_the_same_bits(new_trial: NewTrial, make_spec: MakeSpec) -> None:
    """Of tensors that are folded, which those of other tests here are too small for."""
    plan = PLAN | {"layout": "d=48 attn[n_heads=2] mlp conv", "collect_interval_steps": 2, "steps": 26, "max_depth": 6}
    whole, stopped = new_trial(make_spec(**plan)), new_trial(make_spec(**plan))
    whole.attempt()

    for stop in (5, 8, 12, 20, 23):
        assert stopped.attempt(stop_at=stop) is None
    stopped.attempt()

    assert [unit for unit, is_mean in rows_of(whole, 24) if is_mean] == [3, 0, 1, 2]
    assert ending(stopped) == ending(whole)


def test_a_checkpoint_without_a_path_that_the_plan_needs_is_none(new_trial: NewTrial, following: Any) -> None:
    trial = new_trial(following.spec)
    trial.attempt(stop_at=12)
    held = trial.recorder.committed
    tensors, numbers = read_tensors(trial.root / held.path, held.sha256)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("path/0/")}
    assert len(kept) < len(tensors)
    save_file(kept, trial.root / held.path, write_header(numbers))
    trial.recorder.committed = replace(held, sha256=sha256_of(trial.root / held.path))

    trial.attempt()

    [reason] = trial.recorder.reasons_to_start_over
    assert "it has no tensor 'path/0/" in reason
    assert ending(trial) == ending(following)
