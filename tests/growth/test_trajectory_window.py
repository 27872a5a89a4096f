import pytest
import torch
from torch import nn

from growlab.geometry.gram import gram
from growlab.growth.window import Window


@pytest.fixture
def unit() -> nn.Linear:
    return nn.Linear(4, 3)


def wander(unit: nn.Module, seed: int) -> None:
    """What an optimizer does to a unit: every weight changes in place."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in unit.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random))


def walked(unit: nn.Module, *, size: int, snapshots: int) -> Window:
    window = Window(size)
    for at in range(snapshots):
        window.snapshot(unit)
        wander(unit, seed=at)
    return window


def n_bytes(window: Window) -> int:
    tensors = [each for track in window.tracks.values() for each in (track.last, *track.increments)]
    return sum(each.untyped_storage().nbytes() for each in tensors)


def test_a_snapshot_is_not_a_view_of_the_live_weight(unit: nn.Linear) -> None:
    window = Window(5)
    before = unit.weight.detach().clone()
    window.snapshot(unit)

    wander(unit, seed=0)

    assert torch.equal(window.path("weight").last, before)
    assert not torch.equal(unit.weight, before)


def test_an_increment_is_the_difference_of_two_snapshots(unit: nn.Linear) -> None:
    window = Window(5)
    before = unit.bias.detach().clone()
    window.snapshot(unit)
    wander(unit, seed=0)
    window.snapshot(unit)

    [increment] = window.path("bias").increments

    assert torch.equal(increment, unit.bias.detach() - before)


def test_snapshots_carry_no_graph(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=3)

    assert not any(
        each.requires_grad for name in window.tracks for each in (window.path(name).last, *window.path(name).increments)
    )


@pytest.mark.parametrize(("snapshots", "held"), [(0, 0), (1, 1), (2, 2), (4, 4), (5, 4), (9, 4)])
def test_a_window_holds_at_most_its_size(unit: nn.Linear, snapshots: int, held: int) -> None:
    window = walked(unit, size=4, snapshots=snapshots)

    assert len(window) == held
    assert all(len(track.increments) == max(held - 1, 0) for track in window.tracks.values())


def test_the_oldest_increment_falls_out(unit: nn.Linear) -> None:
    short, whole = Window(3), Window(99)
    for at in range(6):
        short.snapshot(unit)
        whole.snapshot(unit)
        wander(unit, seed=at)

    kept = short.path("weight").increments

    assert len(kept) == 2
    assert all(map(torch.equal, kept, whole.path("weight").increments[-2:]))


@pytest.mark.parametrize("snapshots", [2, 3, 4, 5, 11])
def test_the_gram_matrix_is_that_of_the_increments_kept(unit: nn.Linear, snapshots: int) -> None:
    window = walked(unit, size=4, snapshots=snapshots)

    for name in ("weight", "bias"):
        path = window.path(name)
        torch.testing.assert_close(path.gram, gram(path.increments), rtol=1e-15, atol=0)


def test_increments_are_known_by_serial_numbers_that_slide_with_the_window(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=4)

    first = {serial: tensors["weight"] for serial, tensors in window.increments().items()}
    window.snapshot(unit)
    second = {serial: tensors["weight"] for serial, tensors in window.increments().items()}

    assert list(first) == [0, 1, 2]
    assert list(second) == [1, 2, 3]
    assert all(torch.equal(first[serial], second[serial]) for serial in (1, 2))


def test_every_increment_names_all_tensors_of_the_unit(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=3)

    assert all(list(tensors) == ["weight", "bias"] for tensors in window.increments().values())


def test_a_cleared_window_is_empty_and_uses_no_serial_number_again(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=4)

    window.clear()
    emptied = len(window), window.statistics(), window.increments()
    window.snapshot(unit)
    wander(unit, seed=0)
    window.snapshot(unit)

    assert emptied == (0, {}, {})
    assert len(window) == 2
    assert list(window.increments()) == [3]


def test_a_cleared_window_takes_a_unit_of_another_shape(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=4)

    window.clear()
    window.snapshot(nn.Linear(2, 7))

    assert window.path("weight").last.shape == (7, 2)


def test_memory_is_as_many_copies_of_the_unit_as_the_window_is_long(unit: nn.Linear) -> None:
    window = walked(unit, size=6, snapshots=20)

    n_params = sum(parameter.numel() for parameter in unit.parameters())
    assert n_bytes(window) == 6 * n_params * 4


def test_a_snapshot_says_what_it_cost(unit: nn.Linear) -> None:
    window = Window(3)
    n_params = 4 * 3 + 3

    costs = []
    for _ in range(4):
        costs.append(window.snapshot(unit))
        wander(unit, seed=0)

    # nothing for the first; then one subtraction and one row of the Gram matrix: n products and n sums per number
    assert costs == [0, n_params * 3, n_params * 5, n_params * 5]


def test_products_go_to_the_tensor_they_are_of_in_whatever_order_a_window_was_loaded(unit: nn.Linear) -> None:
    window = walked(unit, size=4, snapshots=3)
    window.tracks = dict(reversed(window.tracks.items()))

    window.snapshot(unit)

    for name in ("weight", "bias"):
        path = window.path(name)
        assert torch.allclose(path.gram, gram(path.increments), rtol=1e-12)
