from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from growlab.specs import TrainSpec, TrialSpec
from growlab.training.optimizer import GrowingOptimizer

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")


@pytest.fixture
def train(make_spec: MakeSpec) -> TrainSpec:
    return make_spec(weight_decay=0.5, beta1=0.9, beta2=0.999, grad_clip=1e9).train


def layer(seed: int, prefix: str = "") -> dict[str, nn.Parameter]:
    random = torch.Generator().manual_seed(seed)
    return {
        f"{prefix}weight": nn.Parameter(torch.randn(3, 4, generator=random)),
        f"{prefix}bias": nn.Parameter(torch.randn(3, generator=random)),
    }


def update(optimizer: GrowingOptimizer, named: dict[str, nn.Parameter], *, step: int, lr: float = 0.01) -> None:
    """One training step with gradients that depend on the step and on the weights."""
    random = torch.Generator().manual_seed(step)
    for parameter in named.values():
        if parameter.requires_grad:
            parameter.grad = parameter.detach() + torch.randn(parameter.shape, generator=random)
    optimizer.set_lr(lr, step=step, rewarm_steps=4)
    optimizer.step()


def copies(tensors: dict[str, Tensor] | dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in tensors.items()}


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert list(left) == list(right)
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_without_growth_it_is_adamw(train: TrainSpec) -> None:
    ours, theirs = layer(0), layer(0)
    optimizer = GrowingOptimizer(ours.items(), train, CPU)
    groups = [
        {"params": [theirs["weight"]], "weight_decay": 0.5},
        {"params": [theirs["bias"]], "weight_decay": 0.0},
    ]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.999), foreach=False)

    for step in range(20):
        lr = 0.01 / (step + 1)
        update(optimizer, ours, step=step, lr=lr)
        random = torch.Generator().manual_seed(step)
        for parameter in theirs.values():
            parameter.grad = parameter.detach() + torch.randn(parameter.shape, generator=random)
        for group in reference.param_groups:
            group["lr"] = lr
        reference.step()

    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-7)


def test_the_gradient_is_clipped_to_a_global_norm(make_spec: MakeSpec) -> None:
    named = layer(0)
    optimizer = GrowingOptimizer(named.items(), make_spec(grad_clip=2.0, beta1=0.5).train, CPU)
    for parameter in named.values():
        parameter.grad = torch.full_like(parameter, 10.0)

    optimizer.set_lr(0.01, step=0, rewarm_steps=0)
    norm = optimizer.step()

    moments = [each for name, each in optimizer.state().items() if name.endswith("/exp_avg")]
    clipped = torch.cat([each.flatten() for each in moments]) / (1 - 0.5)
    assert float(norm) == pytest.approx(10 * 15**0.5)
    assert float(clipped.norm()) == pytest.approx(2.0, rel=1e-5)


def test_matrices_are_decayed_and_vectors_are_not(train: TrainSpec) -> None:
    named = layer(0)
    before = copies(named)
    optimizer = GrowingOptimizer(named.items(), train, CPU)
    for parameter in named.values():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.set_lr(0.1, step=0, rewarm_steps=0)
    optimizer.step()

    torch.testing.assert_close(named["weight"].detach(), before["weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(named["bias"], before["bias"])


def test_a_matrix_that_its_block_marked_is_not_decayed(train: TrainSpec) -> None:
    named = layer(0)
    named["weight"].no_decay = True
    before = copies(named)
    optimizer = GrowingOptimizer(named.items(), train, CPU)
    for parameter in named.values():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.set_lr(0.1, step=0, rewarm_steps=0)
    optimizer.step()

    assert_equal(copies(named), before)


def test_gradients_are_gone_after_a_step(train: TrainSpec) -> None:
    named = layer(0)

    update(GrowingOptimizer(named.items(), train, CPU), named, step=0)

    assert all(parameter.grad is None for parameter in named.values())


# ---- growth ----------------------------------------------------------------------------------------------------


def test_adoption_leaves_old_moments_as_they_are_bit_for_bit(train: TrainSpec) -> None:
    old = layer(0, "old.")
    optimizer = GrowingOptimizer(old.items(), train, CPU)
    for step in range(5):
        update(optimizer, old, step=step)
    before = copies(optimizer.state())

    optimizer.adopt(layer(1, "new.").items(), born=5)

    assert_equal(optimizer.state(), before)


def test_old_parameters_go_on_as_if_nothing_had_been_adopted(train: TrainSpec) -> None:
    alone, joined, new = layer(0), layer(0), layer(1, "new.")
    lonely = GrowingOptimizer(alone.items(), train, CPU)
    growing = GrowingOptimizer(joined.items(), train, CPU)
    for step in range(10):
        if step == 5:
            growing.adopt(new.items(), born=5)
        update(lonely, alone, step=step)
        update(growing, joined | new, step=step)

    assert_equal(copies(joined), copies(alone))


def test_new_parameters_count_their_own_steps(train: TrainSpec) -> None:
    old, new = layer(0, "old."), layer(1, "new.")
    optimizer = GrowingOptimizer(old.items(), train, CPU)
    for step in range(5):
        update(optimizer, old, step=step)
    optimizer.adopt(new.items(), born=5)

    update(optimizer, old | new, step=5)

    state = optimizer.state()
    counts = {name: int(state[f"{name}/step"]) for name in old | new}
    assert counts == {"old.weight": 6, "old.bias": 6, "new.weight": 1, "new.bias": 1}


def test_the_first_update_of_a_new_parameter_is_no_larger_than_its_lr(train: TrainSpec) -> None:
    old, new = layer(0, "old."), layer(1, "new.")
    optimizer = GrowingOptimizer(old.items(), train, CPU)
    for step in range(50):
        update(optimizer, old, step=step)
    optimizer.adopt(new.items(), born=50)
    before = copies(new)

    update(optimizer, old | new, step=50, lr=0.01)

    moved = (new["new.bias"].detach() - before["new.bias"]).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.01 / 4))  # of four re-warming steps the first


def test_adopted_parameters_are_decayed_by_the_same_rule(train: TrainSpec) -> None:
    new = layer(1, "new.")
    optimizer = GrowingOptimizer(layer(0).items(), train, CPU)
    optimizer.adopt(new.items(), born=3)
    before = copies(new)
    for parameter in new.values():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.set_lr(0.1, step=9, rewarm_steps=0)
    optimizer.step()

    torch.testing.assert_close(new["new.weight"].detach(), before["new.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(new["new.bias"], before["new.bias"])


def test_a_frozen_parameter_is_left_alone_although_weight_decay_is_on(train: TrainSpec) -> None:
    old, new = layer(0, "old."), layer(1, "new.")
    optimizer = GrowingOptimizer(old.items(), train, CPU)
    update(optimizer, old, step=0)
    optimizer.adopt(new.items(), born=1)
    for parameter in old.values():
        parameter.requires_grad_(False)
    weights, moments = copies(old), copies(optimizer.state())

    for step in range(1, 5):
        update(optimizer, old | new, step=step)

    assert_equal(copies(old), weights)
    assert_equal({name: optimizer.state()[name] for name in moments}, moments)


@pytest.mark.parametrize("born", [{}, {"new.weight": 3, "new.bias": 3}])
def test_the_decay_of_what_grew_has_a_factor_of_its_own(train: TrainSpec, born: dict[str, int]) -> None:
    """Of what it adopts, and of what had grown when a checkpoint was written."""
    old, new = layer(0, "old."), layer(1, "new.")
    named = old | new
    before = copies(named)
    optimizer = GrowingOptimizer((named if born else old).items(), train, CPU, born, new_decay_factor=0.5)
    if not born:
        optimizer.adopt(new.items(), born=3)
    for parameter in named.values():
        parameter.grad = torch.zeros_like(parameter)

    optimizer.set_lr(0.1, step=9, rewarm_steps=0)
    optimizer.step()

    torch.testing.assert_close(old["old.weight"].detach(), before["old.weight"] * (1 - 0.1 * 0.5))
    torch.testing.assert_close(new["new.weight"].detach(), before["new.weight"] * (1 - 0.1 * 0.5 * 0.5))
    assert torch.equal(new["new.bias"], before["new.bias"])


# ---- memory by name --------------------------------------------------------------------------------------------


def test_state_goes_back_onto_the_tensors_it_came_from_after_growth(train: TrainSpec) -> None:
    """A model names the parameters of a grown unit before the last norm, which is older: order misleads."""
    first, norm, second = layer(0, "units.0."), layer(1, "norm."), layer(2, "units.1.")
    optimizer = GrowingOptimizer((first | norm).items(), train, CPU)
    for step in range(3):
        update(optimizer, first | norm, step=step)
    optimizer.adopt(second.items(), born=3)
    for step in range(3, 6):
        update(optimizer, first | norm | second, step=step)
    whole = first | second | norm
    restored_parameters = {name: nn.Parameter(each.detach().clone()) for name, each in whole.items()}

    restored = GrowingOptimizer(restored_parameters.items(), train, CPU, optimizer.born)
    restored.load(copies(optimizer.state()))

    assert restored.born == optimizer.born
    assert set(restored.state()) == set(optimizer.state())
    for step in range(6, 12):
        update(optimizer, whole, step=step)
        update(restored, restored_parameters, step=step)
    assert_equal(copies(restored_parameters), copies(whole))
    assert all(torch.equal(restored.state()[name], each) for name, each in optimizer.state().items())


def test_a_parameter_that_was_never_updated_has_no_state(train: TrainSpec) -> None:
    named = layer(0)
    optimizer = GrowingOptimizer(named.items(), train, CPU)
    named["bias"].requires_grad_(False)

    update(optimizer, named, step=0)

    assert set(optimizer.state()) == {"weight/step", "weight/exp_avg", "weight/exp_avg_sq"}


def test_loaded_state_is_a_copy(train: TrainSpec) -> None:
    named = layer(0)
    optimizer = GrowingOptimizer(named.items(), train, CPU)
    update(optimizer, named, step=0)
    kept = copies(optimizer.state())
    loaded = copies(kept)

    optimizer.load(loaded)
    update(optimizer, named, step=1)

    assert_equal(loaded, kept)
