"""Losses over tokens, drawn with characters."""

import math

import pytest

from growlab.report.curve import loss_curve

LOSSES = {1000: 3.0, 2000: 2.5, 3000: 2.25}


def test_every_evaluation_is_a_point_and_every_growth_a_mark():
    *picture, legend = loss_curve(LOSSES, {}, [2000]).splitlines()

    assert sum(line.count("o") for line in picture[1:-2]) == 3
    assert sum(line.count("▲") for line in picture) == 1
    assert "▲ growth" in legend
    assert "training" not in legend


def test_the_training_loss_is_a_line_between_the_points():
    picture = loss_curve(LOSSES, {1000: 2.9, 3000: 2.0}).splitlines()[1:-3]

    drawn = set("".join(line.partition("|")[2] for line in picture)) - set(" ⠀o")
    assert drawn
    assert all("⠁" <= dot <= "⣿" for dot in drawn)


def test_it_has_no_colours_and_fits_eighty_columns():
    curve = loss_curve(LOSSES, LOSSES)

    assert "\x1b" not in curve
    assert max(map(len, curve.splitlines())) <= 80


def test_what_is_not_finite_is_left_out():
    assert loss_curve({**LOSSES, 4000: math.nan}, {1000: math.inf}) == loss_curve(LOSSES, {})


def test_without_a_finite_loss_there_is_no_curve():
    assert loss_curve({}, {}) == ""
    assert loss_curve({1000: math.nan}, {1000: math.inf}) == ""


def test_before_the_first_evaluation_the_training_loss_is_drawn_alone():
    *picture, legend = loss_curve({}, LOSSES).splitlines()

    assert "⠒ training" in legend
    assert "validation" not in legend
    assert not any("o" in line.partition("|")[2] for line in picture[1:-2])


@pytest.mark.parametrize("losses", [{1000: 3.0, 2000: 0.05, 3000: 0.01}, {1000: 0.0}, {1000: 2.0, 2000: 0.0}])
def test_no_axis_of_a_loss_goes_below_zero(losses):
    ticks = [float(line.partition("|")[0]) for line in loss_curve(losses, losses).splitlines()[1:-3]]

    assert min(ticks) >= 0
    assert len(ticks) > 10


def test_a_single_evaluation_and_a_constant_can_be_drawn():
    assert "o" in loss_curve({1000: 2.0}, {})
    assert "o" in loss_curve({1000: 0.0, 2000: 0.0}, {})
