"""A row of numbers in a row of characters."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.report.sparkline import finite_range, marks, sparkline

values_of = st.lists(st.none() | st.floats(width=32), max_size=200)


def test_the_lowest_value_is_the_lowest_bar_and_the_highest_the_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"


def test_an_unknown_value_is_a_gap():
    assert sparkline([0, None, math.nan, 1]) == "▁  █"


def test_an_infinite_value_touches_the_edge_and_does_not_squeeze_the_others():
    assert sparkline([0, math.inf, 1, -math.inf]) == "▁██▁"


def test_a_constant_is_a_line_in_the_middle():
    assert sparkline([2.5, 2.5, 2.5]) == "▄▄▄"


def test_nothing_is_nothing():
    assert sparkline([]) == ""


def test_more_values_than_characters_are_averaged():
    assert sparkline([0, 2, 6, 8, 1, 1], width=3) == "▁█▁"


def test_one_closed_path_among_neighbours_is_seen():
    assert sparkline([1, math.inf, 1, 1, 2, 2], width=3)[0] == "█"


@given(values=values_of, width=st.integers(1, 80))
def test_it_is_as_long_as_its_values_and_no_longer_than_its_width(values, width):
    assert len(sparkline(values, width)) == min(len(values), width)


@given(values=values_of)
def test_its_range_leaves_out_what_is_not_finite(values):
    finite = [value for value in values if value is not None and math.isfinite(value)]

    assert finite_range(values) == ((min(finite), max(finite)) if finite else None)


@pytest.mark.parametrize(
    ("steps", "events", "width", "line"),
    [
        ([10, 20, 30, 40], [20, 35], 60, " ▲ ▲"),
        ([10, 20, 30, 40], [5, 45], 60, "▲   "),  # after all of them there is no place
        (range(0, 100, 10), [50, 50], 5, "  ▲  "),  # two values a character
        ([], [5], 60, ""),
    ],
)
def test_a_mark_stands_below_the_first_value_at_or_after_an_event(steps, events, width, line):
    assert marks(steps, events, width) == line
