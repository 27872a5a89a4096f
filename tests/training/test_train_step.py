from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from growlab.data.batches import training_batch
from growlab.data.corpus import Corpus
from growlab.layout import Layout, parse_blocks
from growlab.model.cost import TrainedUnit, training_flops
from growlab.specs import TrialSpec
from growlab.training.run import TrialRun, fresh_run

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")

# What makes the host wait for the device: a number, a truth value or a shape that depends on the data.
WAITING = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "bincount"}


class NobodyWaits(TorchDispatchMode):
    """Fails at the first operation that would make the host wait for the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket.__name__ not in WAITING, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def grown(run: TrialRun) -> TrialRun:
    run.adopt_units(run.growth.grow(run.counters.step))
    return run


@pytest.fixture
def run(make_spec: MakeSpec, corpus: Corpus) -> TrialRun:
    return fresh_run(make_spec(dropout=0.1), corpus, CPU)


def test_the_guard_notices_a_wait() -> None:
    with NobodyWaits(), pytest.raises(AssertionError, match="waits for the device"):
        float(torch.ones(()))


@pytest.mark.parametrize("layout", ["d=16 attn[n_heads=2] mlp", "d=16 conv mlp"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_never_waits_for_the_device(make_spec: MakeSpec, corpus: Corpus, layout: str, precision: str) -> None:
    run = fresh_run(make_spec(layout=layout, precision=precision, dropout=0.1), corpus, CPU)

    with NobodyWaits():
        run.train_step()
        grown(run)
        run.train_step()


def test_a_step_moves_every_parameter_and_every_counter(run: TrialRun) -> None:
    before = [parameter.detach().clone() for parameter in run.model.parameters()]

    run.train_step()

    counters = run.counters
    assert not any(map(torch.equal, run.model.parameters(), before))
    assert (counters.step, counters.tokens, counters.flops) == (1, 4 * 16, run.flops_per_step)
    assert run.loss_count == 1


def test_the_data_of_a_step_is_a_function_of_seed_and_step(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = fresh_run(make_spec(seed=5, lr=1e-12), corpus, CPU)
    x_BT, y_BT = training_batch(corpus.train, 16, 4, seed=5, step=7)
    run.counters = replace(run.counters, step=7)

    run.train_step()

    assert run.take_train_loss() == pytest.approx(run.model.loss(x_BT, y_BT).item(), abs=1e-5)


def test_what_blocks_want_besides_is_trained_on_and_is_in_no_reported_loss(make_spec: MakeSpec, corpus: Corpus) -> None:
    spec = make_spec(layout="d=16 attn[n_heads=2] router[ponder=9.0](mlp)", seed=5, lr=1e-12)
    run = fresh_run(spec, corpus, CPU)
    x_BT, y_BT = training_batch(corpus.train, 16, 4, seed=5, step=0)
    loss, penalty = run.model.objective(x_BT, y_BT)

    run.train_step()

    assert penalty is not None
    assert penalty.item() > 1
    assert run.take_train_loss() == pytest.approx(loss.item(), abs=1e-5)


def test_the_train_loss_is_the_mean_since_it_was_last_taken(run: TrialRun) -> None:
    losses = []
    for _ in range(3):
        before = float(run.loss_sum)
        run.train_step()
        losses.append(float(run.loss_sum) - before)

    assert run.take_train_loss() == pytest.approx(sum(losses) / 3, rel=1e-6)
    assert (float(run.loss_sum), run.loss_count) == (0.0, 0)


def test_progress_in_flops_slows_down_while_most_of_the_model_is_frozen(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = fresh_run(make_spec(flops=10**9, freeze_steps=2, cooldown_steps=0), corpus, CPU)
    blocks = parse_blocks("attn[n_heads=2] mlp")

    def expected(*frozen: bool, rest_frozen: bool) -> float:
        units = [TrainedUnit(blocks=blocks, frozen=each) for each in frozen]
        return (
            training_flops(units, Layout(16, ()), corpus.tokenizer.vocab_size, 16, 4, rest_frozen=rest_frozen) / 10**9
        )

    def one_step() -> float:
        before = run.progress
        run.train_step()
        if run.growth.advance_to(run.counters.step):
            run.refit_step()
        return run.progress - before

    small = one_step()
    grown(run)
    warming = [one_step(), one_step()]
    whole = one_step()

    assert small == pytest.approx(expected(False, rest_frozen=False))
    assert warming == pytest.approx([expected(True, False, rest_frozen=True)] * 2)
    assert whole == pytest.approx(expected(False, False, rest_frozen=False))
    assert small < warming[0] < whole


def test_the_same_seed_gives_the_same_run_and_another_one_does_not(make_spec: MakeSpec, corpus: Corpus) -> None:
    def after_three_steps(seed: int) -> torch.Tensor:
        run = fresh_run(make_spec(seed=seed, dropout=0.2), corpus, CPU)
        for _ in range(3):
            run.train_step()
        return run.model.embedding.weight.detach()

    assert torch.equal(after_three_steps(1), after_three_steps(1))
    assert not torch.equal(after_three_steps(1), after_three_steps(2))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")  # what it sees, it sees
def test_a_step_never_waits_for_a_gpu(make_spec: MakeSpec, corpus: Corpus) -> None:
    run = fresh_run(make_spec(precision="bf16", dropout=0.1), corpus, torch.device("cuda"))
    run.train_step()  # the first one loads kernels
    grown(run)
    run.train_step()

    torch.cuda.set_sync_debug_mode("error")
    try:
        run.train_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
