"""A run that is held, led astray and made to stand again is the run that never left; so is one that was decayed off."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from growlab.data.corpus import Corpus
from growlab.specs import TrialSpec
from growlab.training.checkpoint import pack
from growlab.training.fork import decay_off, hold, stand
from growlab.training.run import TrialRun, fresh_run

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")


def train(run: TrialRun, n_steps: int) -> None:
    for _ in range(n_steps):
        run.train_step()
        if run.growth.advance_to(run.counters.step):
            run.refit_step()
        if run.growth.snapshot_due(run.counters.step):
            run.counters.flops += run.growth.snapshot()


def grow(run: TrialRun) -> None:
    run.adopt_units(run.growth.grow(run.counters.step))


def state(run: TrialRun, *, serials: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that `hold` says of a run, tensors as lists of numbers; without serial numbers of increments if so asked."""
    held = hold(run)
    numbers = held.numbers if serials else held.numbers | {"n_taken": None}
    return {name: tensor.tolist() for name, tensor in held.tensors.items()}, numbers


@pytest.fixture(
    params=[("newest", "stack"), ("all", "stack"), ("all", "aiether")],
    ids=["one window", "sketches beside it", "another window beside it"],
)
def run(make_spec: MakeSpec, corpus: Corpus, request: pytest.FixtureRequest) -> TrialRun:
    """A run in the warm-up of a growth, with windows half full."""
    watch, operator = request.param
    paths = {"watch": watch, "operator": operator, "collect_interval_steps": 1}
    plan = {"trigger": {"at": {"shares": "0.2 0.5"}}, "factor": 2, "max_depth": 9}
    run = fresh_run(make_spec(dropout=0.2, **paths, **plan), corpus, CPU)
    train(run, 10)
    grow(run)
    train(run, 3)
    return run


def astray(run: TrialRun) -> None:
    train(run, 4)
    grow(run)
    train(run, 5)


def test_a_run_stands_again_where_it_was_held_and_goes_on_from_there(run: TrialRun) -> None:
    held, before = hold(run), state(run, serials=False)
    train(run, 9)
    after = state(run, serials=False)

    stand(run, held)
    again = state(run, serials=False)
    train(run, 9)

    assert again == before
    assert state(run, serials=False) == after


def test_a_run_stands_again_as_often_as_wanted_whatever_it_was_meanwhile(run: TrialRun) -> None:
    held, before = hold(run), state(run, serials=False)
    for _ in range(2):
        astray(run)
        assert run.model.layout.depth == 8

        stand(run, held)

        assert run.model.layout.depth == 4
        assert state(run, serials=False) == before


def test_a_run_stands_where_it_grew_also_when_it_went_back_before_that(run: TrialRun) -> None:
    early = hold(run)
    astray(run)
    late, as_grown = hold(run), state(run, serials=False)
    stand(run, early)

    stand(run, late)

    assert state(run, serials=False) == as_grown
    assert [bool(p.requires_grad) for p in run.model.parameters()].count(False) == 0


def test_what_is_held_is_a_copy_of_all_that_a_checkpoint_holds_and_of_the_windows(run: TrialRun) -> None:
    held = hold(run)
    tensors, numbers = pack(run)
    increments = [name for name in held.tensors if name.startswith("increment/")]

    assert held.tensors.keys() - set(increments) == tensors.keys()
    assert held.numbers.keys() == numbers.keys() | {"increments"}
    taken = run.growth.paths.increments()
    assert len(taken) == 2
    assert len(increments) == sum(len(tensors_of_all) for tensors_of_all in taken.values())
    of_run = {tensor.untyped_storage().data_ptr() for tensor in tensors.values() if tensor.numel()}
    assert not of_run & {tensor.untyped_storage().data_ptr() for tensor in held.tensors.values()}


def test_a_serial_number_of_an_increment_is_never_used_twice(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = fresh_run(make_spec(trigger="at"), corpus, CPU)
    train(run, 9)
    held = hold(run)
    train(run, 3)
    given = set(run.growth.window.increments())

    stand(run, held)

    assert len(run.growth.window) == 3
    assert not given & set(run.growth.window.increments())


def test_elapsed_time_is_not_taken_back(run: TrialRun) -> None:
    held = hold(run)
    run.counters.elapsed_s = 7.0

    stand(run, held)

    assert run.counters.elapsed_s == 7.0


# ---- a copy that is decayed off its trunk ----------------------------------------------------------------------


def test_a_trunk_that_was_decayed_off_is_to_the_bit_the_one_that_was_not(run: TrialRun) -> None:
    before = state(run)

    decayed = decay_off(run, 0.5)

    assert state(run) == before
    assert math.isfinite(decayed.val_loss)
    flops = before[1]["counters"]["flops"]
    assert 0.5 * flops <= decayed.flops < 0.5 * flops + 2 * run.flops_per_step


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_lr_falls_from_where_it_is_to_the_schedules_end(
    make_spec: MakeSpec, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    spec = make_spec(trigger="never", warmup_fraction=0.0, decay_fraction=0.2, decay_shape=shape, min_lr_ratio=0.1)
    run, lrs = fresh_run(spec, corpus, CPU), []
    train(run, 20)
    step_at = TrialRun.train_step_at
    monkeypatch.setattr(TrialRun, "train_step_at", lambda run, lr: (lrs.append(lr), step_at(run, lr)))

    decayed = decay_off(run, 0.5)

    shares = [1 - at / 10 for at in range(10)]
    if shape == "cosine":
        shares = [(1 - math.cos(math.pi * share)) / 2 for share in shares]
    assert decayed.steps == 10
    assert lrs == pytest.approx([spec.train.lr * (0.1 + 0.9 * share) for share in shares])


def test_a_decayed_copy_has_the_loss_of_a_run_that_was_decayed_itself(make_spec: MakeSpec, corpus: Corpus) -> None:
    """A straight fall over the last third of the budget, which is half of the FLOPs before it."""
    changes = {"trigger": "never", "warmup_fraction": 0.0, "min_lr_ratio": 0.0, "dropout": 0.2, "steps": 30}
    whole = fresh_run(make_spec(decay_fraction=1 / 3, **changes), corpus, CPU)
    train(whole, 30)
    trunk = fresh_run(make_spec(decay_fraction=1 / 3, **changes), corpus, CPU)
    train(trunk, 20)

    decayed = decay_off(trunk, 0.5)

    assert decayed.val_loss == pytest.approx(whole.evaluate().loss, rel=1e-6)
    assert decayed.val_loss != trunk.evaluate().loss


@pytest.mark.gpu
def test_on_a_gpu_a_recorded_step_goes_on_from_where_the_run_stands_again(make_spec: MakeSpec, corpus: Corpus) -> None:
    spec = make_spec(trigger="at", operator="stack", factor=2, max_depth=9, freeze_steps=0, dropout=0.0)
    run = fresh_run(spec, corpus, torch.device("cuda"))
    train(run, 10)
    held = hold(run)
    losses = []
    for _ in range(2):
        run.take_train_loss()
        train(run, 9)
        assert run.engine.settled
        losses.append(run.take_train_loss())
        grow(run)
        train(run, 9)

        stand(run, held)

    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert all(tensor.device.type == "cpu" for tensor in held.tensors.values())
