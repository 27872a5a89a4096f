import math
from collections.abc import Sequence
from dataclasses import asdict, fields

import pytest
import torch
from torch import nn

from growlab.geometry.trajectory import kappa, tau
from growlab.growth.telemetry import observe
from growlab.growth.window import Window
from growlab.records import PathStatistics, TrajectoryPoint

Positions = Sequence[Sequence[float]]
STRAIGHT: Positions = [(0, 0), (1, 0), (2, 0), (3, 0)]
THERE_AND_BACK_AND_THERE: Positions = [(0, 0), (1, 0), (0, 0), (1, 0)]
CORNER: Positions = [(0, 0), (1, 0), (1, 1), (1, 2)]
CLOSED: Positions = [(0, 0), (1, 0), (1, 1), (0, 0)]
STILL: Positions = [(5, 5)] * 4


class Walkers(nn.Module):
    """A unit with one tensor per path, of different sizes: the position is repeated `copies` times."""

    def __init__(self, **copies: int) -> None:
        super().__init__()
        self.copies = copies
        for name, count in copies.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(count, 2)))

    @torch.no_grad()
    def move_to(self, name: str, position: Sequence[float]) -> None:
        self.get_parameter(name).copy_(torch.tensor(position).expand(self.copies[name], 2))


def watched(snapshots: int = 4, sizes: dict[str, int] | None = None, **paths: Positions) -> Window:
    unit = Walkers(**(sizes or dict.fromkeys(paths, 1)))
    window = Window(10)
    for at in range(snapshots):
        for name, positions in paths.items():
            unit.move_to(name, positions[at])
        window.snapshot(unit)
    return window


def mean_of(window: Window) -> TrajectoryPoint:
    return observe(window, step=0, unit=0)[0]


@pytest.mark.parametrize("snapshots", [0, 1, 2])
def test_nothing_is_said_of_fewer_than_three_snapshots(snapshots: int) -> None:
    assert observe(watched(snapshots, a=CORNER), step=9, unit=0) == []


def test_the_mean_comes_first_and_then_every_tensor() -> None:
    points = observe(watched(3, a=STRAIGHT, b=CORNER), step=30, unit=2)

    assert [point.tensor for point in points] == ["", "a", "b"]
    assert {(point.step, point.unit, point.n_increments) for point in points} == {(30, 2, 2)}


def test_a_tensor_is_reported_with_the_shape_of_its_own_path() -> None:
    window = watched(a=THERE_AND_BACK_AND_THERE, b=CORNER)

    _, a, b = observe(window, step=0, unit=0)

    assert (a.tau, a.kappa, a.path, a.displacement) == (3.0, 0.0, 3.0, 1.0)
    assert (b.tau, b.kappa) == (tau(window.path("b").gram), kappa(window.path("b").gram))


def test_a_point_names_its_place_and_then_every_statistic() -> None:
    names = list(asdict(mean_of(watched(a=CORNER))))

    assert names == ["step", "unit", "tensor", "n_increments", *(field.name for field in fields(PathStatistics))]


def test_the_mean_counts_a_small_tensor_as_much_as_a_large_one() -> None:
    window = watched(sizes={"a": 1000, "b": 1}, a=STRAIGHT, b=THERE_AND_BACK_AND_THERE)

    assert mean_of(window).tau == pytest.approx((1 + 3) / 2, abs=1e-12)


def test_a_tensor_that_never_moved_does_not_pull_the_mean() -> None:
    window = watched(a=THERE_AND_BACK_AND_THERE, b=STILL)

    mean, _, still = observe(window, step=0, unit=0)

    assert (still.tau, still.kappa, still.path) == (None, None, 0.0)
    assert (mean.tau, mean.kappa) == (3.0, 0.0)


def test_a_unit_that_never_moved_has_no_mean() -> None:
    mean = mean_of(watched(a=STILL, b=STILL))

    assert (mean.tau, mean.kappa, mean.diffusion_exponent, mean.drift_z) == (None, None, None, None)
    assert (mean.path, mean.displacement) == (0.0, 0.0)


def test_one_closed_path_makes_the_mean_infinite() -> None:
    mean = mean_of(watched(a=STRAIGHT, b=CLOSED))

    assert (mean.tau, mean.kappa) == (math.inf, math.inf)


def test_no_number_is_nan_whatever_the_paths() -> None:
    window = watched(a=STRAIGHT, b=CLOSED, c=STILL, d=THERE_AND_BACK_AND_THERE, e=CORNER)

    points = observe(window, step=0, unit=0)

    numbers = [value for point in points for value in vars(point).values() if isinstance(value, float)]
    assert not any(map(math.isnan, numbers))
