"""The hypervolume that a candidate is expected to add to a front."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.search.model.front import Exact, Normal, expected_gain

GRID = 6  # cells of the unit box along each axis


def counted(points):
    """The cells of a grid that points with whole coordinates dominate, counted."""
    dimensions = len(points[0])
    return sum(
        any(all(c >= p for c, p in zip(cell, point, strict=True)) for point in points)
        for cell in product(range(GRID), repeat=dimensions)
    )


@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.tuples(*[st.integers(0, GRID)] * d), min_size=2, max_size=7)))
def test_what_is_known_adds_the_cells_that_it_alone_dominates(points):
    candidate, *front = points
    axes = [Exact(np.array([float(value)])) for value in candidate]

    [gain] = expected_gain(axes, np.array(front, float), np.full(len(candidate), float(GRID)))

    assert gain == pytest.approx(counted(points) - counted(front))


def test_of_a_single_objective_it_is_the_expected_improvement_on_the_best():
    mean, sd = np.array([0.9, 1.4]), np.array([0.2, 0.3])
    draws = mean + sd * np.random.default_rng(0).standard_normal((200_000, 2))

    gain = expected_gain([Normal(mean, sd)], np.array([[1.2], [1.0]]), np.array([2.0]))

    assert gain == pytest.approx(np.maximum(1.0 - draws, 0).mean(axis=0), rel=0.02)


def test_of_normal_and_known_objectives_together_it_is_the_mean_over_draws():
    rng, n_draws = np.random.default_rng(0), 4_000
    front, reference = rng.uniform(0, 1, (6, 3)), np.ones(3)
    mean, sd, known = np.array([[0.5, 0.4]]), np.array([[0.2, 0.1]]), 0.45

    axes = [Normal(mean[:, 0], sd[:, 0]), Exact(np.array([known])), Normal(mean[:, 1], sd[:, 1])]
    [gain] = expected_gain(axes, front, reference)

    draws = mean + sd * rng.standard_normal((n_draws, 2))
    drawn = [Exact(draws[:, 0]), Exact(np.full(n_draws, known)), Exact(draws[:, 1])]
    assert gain == pytest.approx(expected_gain(drawn, front, reference).mean(), rel=0.05)
