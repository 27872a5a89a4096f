"""Fronts, ranks and hypervolumes, against definitions that are written out: inclusion and exclusion of boxes."""

from itertools import combinations, pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.statistics.pareto import contributions, hypervolume, on_front, ranks, reference_point

WORST = 6


@st.composite
def _points(draw, most=6):
    """Points on a grid, so that many are equal somewhere; some reach the reference point or lie beyond it."""
    d = draw(st.integers(1, 4))
    coordinate = st.integers(0, WORST + 1)
    rows = draw(st.lists(st.tuples(*[coordinate] * d), min_size=1, max_size=most))
    return np.array(rows, dtype=float)


POINTS = _points()


def reference_of(points):
    return np.full(points.shape[1], float(WORST))


def volume_by_definition(points, reference):
    """The union of the boxes from each point to the reference, by inclusion and exclusion."""
    boxes = [tuple(point) for point in points if all(point < reference)]
    total = 0.0
    for n in range(1, len(boxes) + 1):
        for chosen in combinations(boxes, n):
            total -= (-1) ** n * prod(r - max(side) for r, *side in zip(reference, *chosen, strict=True))
    return total


def dominates(one, other):
    return all(one <= other) and any(one < other)


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]

    assert on_front(points).tolist() == expected


@given(POINTS)
def test_a_rank_is_one_more_than_the_worst_rank_of_what_dominates_it(points):
    found = ranks(points)

    for point, rank in zip(points, found, strict=True):
        above = [found[at] for at, other in enumerate(points) if dominates(other, point)]
        assert rank == (max(above) + 1 if above else 0)


@settings(max_examples=150)
@given(POINTS)
def test_the_hypervolume_is_that_of_the_union_of_boxes(points):
    reference = reference_of(points)

    assert hypervolume(points, reference) == pytest.approx(volume_by_definition(points, reference))


@given(POINTS)
def test_a_contribution_is_what_is_lost_without_the_point(points):
    reference, found = reference_of(points), contributions(points, reference_of(points))

    without = [hypervolume(np.delete(points, at, axis=0), reference) for at in range(len(points))]
    assert found == pytest.approx(hypervolume(points, reference) - np.array(without))


@given(POINTS, st.randoms(use_true_random=False))
def test_neither_order_nor_units_change_what_is_found(points, rng):
    order = rng.sample(range(len(points)), len(points))
    scale = np.array([10.0**at for at in range(points.shape[1])])

    moved = (points * scale + 3)[order]

    reference = reference_of(points) * scale + 3
    assert hypervolume(moved, reference) == pytest.approx(
        hypervolume(points, reference_of(points)) * float(np.prod(scale))
    )
    assert ranks(moved).tolist() == ranks(points)[order].tolist()


def test_a_staircase_has_the_area_that_is_under_it():
    points = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0]])

    assert on_front(points).tolist() == [True, True, True, False]
    assert hypervolume(points, np.array([5.0, 5.0])) == 4 * 1 + 3 * 2 + 1 * 1
    assert contributions(points, np.array([5.0, 5.0])).tolist() == [1.0, 3.0, 1.0, 0.0]


def test_two_hundred_points_of_three_objectives_have_the_volume_of_their_slices():
    points = np.random.default_rng(0).dirichlet(np.ones(3), size=200)

    assert on_front(points).all()
    levels = [*np.sort(points[:, 0]), 1.0]
    slices = [
        (upper - lower) * hypervolume(points[points[:, 0] <= lower][:, 1:], np.ones(2))
        for lower, upper in pairwise(levels)
    ]
    assert hypervolume(points, np.ones(3)) == pytest.approx(sum(slices))


def test_the_reference_lies_a_tenth_of_the_range_beyond_the_worst_unless_it_is_given():
    points = np.array([[1.0, -10.0, 5.0, 0.0], [3.0, -10.0, 9.0, 0.0]])

    assert reference_point(points, [None, None, 7.0, None]).tolist() == pytest.approx([3.2, -9.0, 7.0, 1.0])


def test_nothing_has_no_volume():
    assert hypervolume(np.zeros((0, 2)), np.ones(2)) == 0.0
    assert contributions(np.zeros((0, 3)), np.ones(3)).tolist() == []
