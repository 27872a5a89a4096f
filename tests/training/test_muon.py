"""Muon for the matrices of units: its update, whom it updates, and a trial by it that grows and is interrupted."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from growlab.specs import TrialSpec
from growlab.training.optimizer import GrowingOptimizer
from growlab.training.rules import Muon, orthogonalised
from growlab.training.run import fresh_run

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest
CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 12), (1, 12, 5), (2, 1, 6)])
def test_singular_values_come_near_one_and_vectors_stay(shape):
    matrices = drawn(*shape)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)

    turned = left.mT @ orthogonalised(matrices) @ right.mT

    values = turned.diagonal(dim1=-2, dim2=-1)
    assert ((values > 0.3) & (values < 1.3)).all()  # a small one takes more steps to rise
    torch.testing.assert_close(turned, torch.diag_embed(values), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_it_is_torchs_muon_but_for_its_rounding(make_spec: MakeSpec, shape):
    ours, theirs = ({"units.0.weight": nn.Parameter(drawn(*shape))} for _ in range(2))
    train = make_spec(optimizer="muon", weight_decay=0.5, grad_clip=1e9).train
    optimizer = GrowingOptimizer(ours.items(), train, CPU)
    reference = torch.optim.Muon(
        theirs.values(), lr=0.05, weight_decay=0.5, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )

    for step in range(5):
        for parameters in (ours, theirs):
            for parameter in parameters.values():
                parameter.grad = drawn(*shape, seed=step)
        optimizer.set_lr(0.05, step=step, rewarm_steps=0)
        optimizer.step()
        reference.step()

    moved = (theirs["units.0.weight"] - drawn(*shape)).norm()
    assert (ours["units.0.weight"] - theirs["units.0.weight"]).norm() < 0.01 * moved  # torch's iterates in bf16


def test_an_expert_is_updated_as_it_would_be_alone():
    together, alone = drawn(4, 6, 10), [each.clone() for each in drawn(4, 6, 10)]
    gradient, rule, lr = drawn(4, 6, 10, seed=1), Muon(), torch.tensor(0.1)

    rule.update([together], [gradient.clone()], [rule.begin(together)], lr, 0.1)
    for matrix, of_it in zip(alone, gradient, strict=True):
        rule.update([matrix], [of_it.clone()], [rule.begin(matrix)], lr, 0.1)

    torch.testing.assert_close(together, torch.stack(alone))


def test_matrices_of_units_go_by_muon_and_all_else_by_adamw(make_spec: MakeSpec, corpus: Any) -> None:
    run = fresh_run(make_spec(layout="d=16 conv moe[n_experts=2] mamba", optimizer="muon"), corpus, CPU)
    run.train_step()

    states = run.optimizer.state()
    of_muon = {name.removesuffix("/momentum") for name in states if name.endswith("/momentum")}
    of_adamw = {name.removesuffix("/exp_avg") for name in states if name.endswith("/exp_avg")}
    assert of_muon.isdisjoint(of_adamw)
    assert of_muon | of_adamw == {name for name, parameter in run.named_parameters() if parameter.requires_grad}
    assert {name.split(".", 2)[2].split(".", 1)[1] for name in of_muon} == {
        "mixer.in_proj.weight",
        "mixer.out_proj.weight",
        "mixer.router.weight",
        "mixer.experts.in_proj.weight",
        "mixer.experts.out_proj.weight",
        "mixer.x_proj.weight",
        "mixer.dt_proj.weight",
    }


def test_a_trial_by_muon_grows_and_goes_on_where_it_stopped(new_trial: NewTrial, make_spec: MakeSpec) -> None:
    spec = make_spec(optimizer="muon", operator="forecast", moment_scale=0.5)
    whole, interrupted = new_trial(spec), new_trial(spec)

    result = whole.attempt()
    for stop in (14, 17, 31):
        assert interrupted.attempt(stop_at=stop) is None
    again = interrupted.attempt()

    assert result.depth_end > 2
    assert again.val_loss == result.val_loss
    assert interrupted.recorder.timeless == whole.recorder.timeless


def test_it_learns(make_spec: MakeSpec, corpus: Any) -> None:
    run = fresh_run(make_spec(optimizer="muon", trigger="never", lr=0.01), corpus, CPU)
    before = run.evaluate().loss
    for _ in range(40):
        run.train_step()

    assert run.evaluate().loss < 0.8 * before


@pytest.mark.gpu
def test_a_recorded_step_is_the_eager_one_also_when_the_model_grows(
    make_spec: MakeSpec, corpus: Any, losses: Callable[..., list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(layout="d=32 attn[n_heads=2] moe[n_experts=2]", optimizer="muon", max_depth=6, steps=10_000)
    found = {}
    for execution in ("eager", "graph"):
        monkeypatch.setenv("GROWLAB_ENGINE", execution)
        found[execution] = losses(fresh_run(spec, corpus, torch.device("cuda")), 60)

    assert found["graph"] == found["eager"]
