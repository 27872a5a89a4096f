"""Amounts as people read them."""

import math

import pytest

from growlab import amounts


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (None, "–"),
        (0, "0"),
        (950, "950"),
        (999.6, "1.00k"),
        (1234, "1.23k"),
        (12_345, "12.3k"),
        (123_456, "123k"),
        (999_600, "1.00M"),
        (3_550_000, "3.55M"),
        (7e9, "7.00B"),
    ],
)
def test_a_count_has_three_digits(n, text):
    assert amounts.count(n) == text


def test_flops_have_the_prefixes_of_physics():
    assert [amounts.flops(n) for n in (None, 12, 4.5e12, 1e18)] == ["–", "12 FLOPs", "4.50 TFLOPs", "1.00 EFLOPs"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0, "0 ms"),
        (0.04, "40 ms"),
        (0.9996, "1.0 s"),
        (8.06, "8.1 s"),
        (9.96, "10 s"),
        (59.7, "1 min 00 s"),
        (80, "1 min 20 s"),
        (3600 * 3 + 60 * 5, "3 h 05 min"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, text):
    assert amounts.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (8.06, "8 s"),
        (130, "2 min 10 s"),
        (11_100, "3 h 05 min"),
        (1e9, "–"),
        (math.inf, "–"),
        (math.nan, "–"),
    ],
)
def test_what_is_left_of_a_time_is_told_in_whole_seconds(seconds, text):
    assert amounts.time_left(seconds) == text


def test_bytes_are_told_in_gib():
    assert [amounts.gib(n) for n in (0, 3 << 29, 2000 << 30)] == ["0.0 GiB", "1.5 GiB", "2,000.0 GiB"]


def test_a_number_that_is_not_finite_has_a_sign_of_its_own():
    assert [amounts.number(value, 2) for value in (1.005, None, math.nan, math.inf, -math.inf)] == [
        "1.00",
        "–",
        "–",
        "∞",
        "-∞",
    ]


def test_a_depth_has_an_arrow_only_where_it_changed():
    assert [amounts.depth(2, end) for end in (2, 6, None)] == ["2", "2 → 6", "2"]


def test_a_moment_is_in_utc():
    assert amounts.moment(0.0) == "1970-01-01 00:00:00"
