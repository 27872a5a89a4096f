"""The statistics of many paths at once are those of each alone."""

import math
from dataclasses import astuple

import pytest
import torch

from growlab.geometry.gram import bordered, gram
from growlab.geometry.many import bordered_grams, path_statistics_of_all
from growlab.geometry.trajectory import path_statistics
from growlab.records import PathStatistics


def increments(seed: int, n: int, drift: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    steps = torch.randn(n, 40, generator=random, dtype=torch.float64)
    return steps + drift * torch.randn(40, generator=random, dtype=torch.float64)


def paths_of_every_sort(n: int) -> list[torch.Tensor]:
    walks = [increments(seed, n, drift) for seed, drift in enumerate((0.0, 0.2, 1.0, 30.0))]
    steady, there_and_back = torch.ones(n, 3), torch.tensor([[1.0], [-1.0]]).repeat(n, 2)[:n]
    closed = walks[0] - walks[0].mean(0)
    return [*walks, steady.double(), there_and_back.double(), closed, torch.zeros(n, 3, dtype=torch.float64)]


def assert_same(one: PathStatistics, other: PathStatistics) -> None:
    for here, there in zip(astuple(one), astuple(other), strict=True):
        assert here is there is None or here == pytest.approx(there, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 14])
def test_every_statistic_is_that_of_the_path_alone(n: int) -> None:
    grams = [gram(list(path)) for path in paths_of_every_sort(n)]

    together = path_statistics_of_all(torch.stack(grams))

    for alone, one in zip(map(path_statistics, grams), together, strict=True):
        assert_same(one, alone)


def test_a_path_that_diverged_disturbs_no_other() -> None:
    sound = gram(list(increments(0, 6, 0.5)))
    grams = torch.stack([sound, torch.full_like(sound, math.nan)])

    assert_same(path_statistics_of_all(grams)[0], path_statistics(sound))


def test_matrices_are_bordered_as_each_is_alone() -> None:
    grams = torch.stack([gram(list(increments(seed, 3, 0.0))) for seed in range(5)])
    rows = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    together = bordered_grams(grams, rows)

    assert all(torch.equal(one, bordered(*alone)) for one, *alone in zip(together, grams, rows, strict=True))
