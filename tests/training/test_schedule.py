import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from growlab.specs import TrainSpec, TrialSpec
from growlab.training.optimizer import GrowingOptimizer
from growlab.training.schedule import lr_at, rewarm

MakeSpec = Callable[..., TrialSpec]


@pytest.fixture
def train(make_spec: MakeSpec) -> TrainSpec:
    return make_spec(lr=1.0, warmup_fraction=0.2, decay_fraction=0.4, min_lr_ratio=0.1).train


# ---- the function ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "lr"),
    [
        (0.0, 0.01),  # not 0: the first step must not be lost
        (0.1, 0.5),
        (0.2, 1.0),
        (0.4, 1.0),
        (0.6, 1.0),
        (0.8, 0.55),
        (1.0, 0.1),
    ],
)
def test_lr_rises_stays_and_falls(train: TrainSpec, progress: float, lr: float) -> None:
    assert lr_at(progress, train) == pytest.approx(lr, rel=1e-12)


def test_a_cosine_after_the_warm_up_is_the_schedule_of_nanogpt(make_spec: MakeSpec) -> None:
    shape = {"warmup_fraction": 0.02, "decay_fraction": 0.98, "decay_shape": "cosine", "min_lr_ratio": 0.1}
    train = make_spec(lr=1e-3, **shape).train

    for step in (100, 101, 1750, 2550, 4999):
        share = (step - 100) / (5000 - 100)
        expected = 1e-4 + 0.5 * (1 + math.cos(math.pi * share)) * (1e-3 - 1e-4)
        assert lr_at(step / 5000, train) == pytest.approx(expected, rel=1e-9)


def test_lr_has_no_jumps_after_its_first_steps(train: TrainSpec) -> None:
    curve = [lr_at(at / 10_000, train) for at in range(20, 10_001)]

    assert max(abs(after - before) for before, after in pairwise(curve)) < 1e-3


@pytest.mark.parametrize("min_lr_ratio", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("warmup", "decay"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.3, 0.7)])
def test_lr_is_never_zero_while_training(make_spec: MakeSpec, warmup: float, decay: float, min_lr_ratio: float) -> None:
    train = make_spec(warmup_fraction=warmup, decay_fraction=decay, min_lr_ratio=min_lr_ratio).train

    assert all(0 < lr_at(at / 1000, train) <= train.lr for at in range(1000))


def test_a_step_that_begins_beyond_the_budget_has_the_least_lr(train: TrainSpec) -> None:
    assert lr_at(1.3, train) == pytest.approx(0.1)


def test_parameters_of_the_first_hour_are_never_rewarmed() -> None:
    assert [rewarm(step, born=0, rewarm_steps=4) for step in (0, 1, 9)] == [1.0, 1.0, 1.0]


def test_a_newborn_gets_its_first_share_at_once_and_all_after_rewarm_steps() -> None:
    assert [rewarm(step, born=10, rewarm_steps=4) for step in range(10, 16)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rewarm(10, born=10, rewarm_steps=0) == 1.0


# ---- in trials -------------------------------------------------------------------------------------------------


@pytest.fixture
def lrs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, list[float]]]:
    """Of every step of the trials to come: the schedule's lr, and the lr of each group of parameters."""
    seen: list[tuple[float, list[float]]] = []
    set_lr = GrowingOptimizer.set_lr

    def noting(self: GrowingOptimizer, lr: float, *, step: int, **options: float) -> None:
        set_lr(self, lr, step=step, **options)
        seen.append((lr, [float(group.lr) for group in self.groups]))

    monkeypatch.setattr(GrowingOptimizer, "set_lr", noting)
    return seen


@pytest.mark.parametrize("unit", ["steps", "flops"])
@pytest.mark.parametrize(
    ("growth", "n_growths"),
    [
        ({"trigger": "never"}, 0),
        ({}, 2),
        ({"warmup_steps": 20, "freeze_steps": 2, "rewarm_steps": 2, "max_depth": 4}, 1),
    ],
    ids=["no growth", "two growths", "a late growth"],
)
def test_the_last_step_has_the_planned_lr_whatever_grew_before(
    make_spec: MakeSpec,
    new_trial: Callable[..., Any],
    lrs: list[Any],
    unit: str,
    growth: dict[str, Any],
    n_growths: int,
) -> None:
    amount = {"steps": 40, "flops": 80_000_000}[unit]
    trial = new_trial(make_spec(lr=0.01, min_lr_ratio=0.1, decay_fraction=0.5, **growth, **{unit: amount}))

    result = trial.attempt()

    last, groups = lrs[-1]
    largest_step = 0.06  # of the budget: with FLOPs, steps are dearer when the model has grown
    assert len(trial.recorder.growths) == n_growths
    assert 0.001 < last <= 0.001 + 0.009 * largest_step / 0.5
    assert groups == pytest.approx([last] * len(groups))
    assert len(lrs) == result.steps
    assert all(0 < lr <= 0.01 + 1e-9 for _, groups in lrs for lr in groups)


def test_growth_rewarms_the_newborn_and_nobody_else(
    make_spec: MakeSpec, new_trial: Callable[..., Any], lrs: list[Any]
) -> None:
    trial = new_trial(make_spec(rewarm_steps=3, warmup_fraction=0.0, decay_fraction=0.0, lr=0.01, steps=20))

    trial.attempt()

    [growth] = trial.recorder.growths
    oldest = [groups[0] for _, groups in lrs]
    newest = [groups[-1] for _, groups in lrs[growth.step :]]
    assert oldest == pytest.approx([0.01] * 20)
    assert newest == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.01])


@pytest.mark.parametrize(("unit", "amount"), [("steps", 23), ("tokens", 23 * 64 - 1), ("tokens", 23 * 64)])
def test_a_trial_ends_with_the_step_that_spends_its_budget(
    make_spec: MakeSpec, new_trial: Callable[..., Any], unit: str, amount: int
) -> None:
    result = new_trial(make_spec(**{unit: amount})).attempt()

    assert (result.steps, result.tokens) == (23, 23 * 64)


def test_a_budget_of_flops_ends_with_the_step_that_spends_it(
    make_spec: MakeSpec, new_trial: Callable[..., Any]
) -> None:
    whole = new_trial(make_spec(trigger="never", steps=30)).attempt()
    per_step = whole.flops // 30

    exact = new_trial(make_spec(trigger="never", flops=20 * per_step)).attempt()
    above = new_trial(make_spec(trigger="never", flops=20 * per_step + 1)).attempt()

    assert (whole.flops % 30, exact.steps, above.steps) == (0, 20, 21)


def test_the_minimum_is_reached_at_the_very_end_and_not_before(
    make_spec: MakeSpec, new_trial: Callable[..., Any], lrs: list[Any]
) -> None:
    new_trial(make_spec(trigger="never", steps=20, lr=0.01, min_lr_ratio=0.0, decay_fraction=0.5)).attempt()

    tail = [lr for lr, _ in lrs[-4:]]
    assert tail == pytest.approx([0.004, 0.003, 0.002, 0.001])
    assert lrs[-10][0] == 0.01
