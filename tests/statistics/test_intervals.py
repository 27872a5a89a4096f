"""A mean and its interval: closed forms, and how often it holds the truth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from growlab.statistics.intervals import estimate, pair

few = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def test_three_values_have_the_interval_of_the_tables():
    found = estimate([1.0, 2.0, 3.0])

    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3))  # t of 0.975 at 2 degrees of freedom
    assert (found.low, found.high) == (found.mean - found.half_width, found.mean + found.half_width)


@given(few, st.floats(0.5, 0.999))
def test_it_is_the_interval_of_scipy_at_every_level(values, level):
    found = estimate(values, level=level)

    if found.sd > 1e-6:
        expected = stats.t.interval(level, len(values) - 1, loc=found.mean, scale=found.sd / len(values) ** 0.5)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_one_value_is_a_mean_without_an_interval():
    found = estimate([1.5])

    assert found.mean == 1.5
    assert (found.sd, found.half_width, found.low, found.high) == (None, None, None, None)


@given(few, st.floats(-10, 10), st.floats(0.1, 10))
def test_it_moves_and_stretches_with_the_values(values, shift, scale):
    before, after = estimate(values), estimate([scale * value + shift for value in values])

    assert after.mean == pytest.approx(scale * before.mean + shift, abs=1e-6)
    assert after.half_width == pytest.approx(scale * before.half_width, rel=1e-6, abs=1e-5)


def test_only_seeds_that_both_sides_have_make_a_difference_and_the_others_are_named():
    pairs = pair({3: 1.2, 1: 1.0, 7: 0.5}, {1: 0.75, 3: 1.0, 9: 2.0})

    assert pairs.differences == {1: 0.25, 3: pytest.approx(0.2)}
    assert list(pairs.differences) == [1, 3]
    assert (pairs.only_ours, pairs.only_theirs) == ((7,), (9,))


def test_a_seed_on_which_one_side_diverged_is_one_that_only_the_other_has():
    pairs = pair({1: math.nan, 2: 1.0}, {1: 1.0, 2: math.inf})

    assert pairs.differences == {}
    assert (pairs.only_ours, pairs.only_theirs) == ((2,), (1,))


@pytest.mark.parametrize("n", [2, 4, 8])
def test_intervals_cover_the_truth_in_95_percent(rng, n):
    intervals = [estimate(row) for row in rng.normal(1.08, 0.0036, (3000, n)).tolist()]

    covered = sum(found.low <= 1.08 <= found.high for found in intervals) / 3000

    assert 0.93 <= covered <= 0.97  # its own standard error: 0.4 %


def test_intervals_of_the_normal_distribution_would_not(rng):
    intervals = [estimate(row) for row in rng.normal(1.08, 0.0036, (3000, 4)).tolist()]

    covered = sum(abs(found.mean - 1.08) <= 1.96 * found.sd / 2 for found in intervals) / 3000

    assert covered < 0.9


def test_pairing_by_seed_takes_out_what_a_seed_brings_to_both(noisy_losses):
    ours, theirs = (dict(enumerate(losses)) for losses in noisy_losses(2, 4000).tolist())

    paired = estimate(list(pair(ours, theirs).differences.values()))

    assert paired.sd == pytest.approx(0.0041, rel=0.04)
    assert estimate(list(ours.values())).sd == pytest.approx(0.0036, rel=0.04)
