"""The un-grown envelope of a seed, and speed-ups against it."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.statistics.envelope import Cell, Envelope, UngrownRun, envelopes, frontier, log_margin, ratio_text
from growlab.statistics.gains import Bound, Gain, mean_gain


def run(budget: float, val_loss: float, depth: int = 4) -> UngrownRun:
    return UngrownRun(cell=Cell(budget, depth), flops=budget, val_loss=val_loss)


def line(*points: tuple[float, float]) -> Envelope:
    return Envelope.of(run(budget, val_loss) for budget, val_loss in points)


# ---- one line ---------------------------------------------------------------------------------------------------


def test_between_budgets_the_loss_is_a_straight_line_in_log_compute():
    envelope = line((1, 1.2), (4, 1.0))

    assert envelope.speed_up(1.1, 1).value == pytest.approx(math.log(2))  # half way is the geometric mean
    assert envelope.speed_up(1.1, 2).value == pytest.approx(0)
    assert envelope.speed_up(1.1, 4).value == pytest.approx(-math.log(2))


def test_at_a_budget_it_is_that_budget():
    envelope = line((1, 1.2), (2, 1.1), (4, 1.0))

    assert [ratio_text(envelope.speed_up(loss, 1)) for loss in (1.2, 1.1, 1.0)] == ["1.00 ×", "2.00 ×", "4.00 ×"]


def test_beyond_the_largest_budget_a_speed_up_is_a_lower_bound():
    found = line((0.5, 1.2), (2.5, 1.0)).speed_up(0.9, 1)

    assert found.bound is Bound.AT_LEAST
    assert ratio_text(found) == "> 2.50 ×"


def test_below_the_smallest_budget_it_is_an_upper_bound():
    found = line((0.5, 1.2), (2.5, 1.0)).speed_up(1.3, 1)

    assert found.bound is Bound.AT_MOST
    assert ratio_text(found) == "< 0.50 ×"


def test_neighbours_that_do_not_fall_are_one_point_at_their_mean():
    envelope = line((1, 1.3), (2, 1.1), (8, 1.2), (16, 1.0))

    assert envelope.val_losses == pytest.approx((1.3, 1.15, 1.0))
    assert [math.exp(at) for at in envelope.log_flops] == pytest.approx([1, 4, 16])


def test_a_pool_takes_in_all_that_it_reaches():
    envelope = line((1, 1.2), (2, 1.1), (4, 1.3))

    assert envelope.val_losses == pytest.approx((1.2,))  # 1.1 and 1.3 make 1.2, which does not fall from 1.2


def test_equal_losses_are_pooled_so_that_each_loss_has_one_compute():
    assert line((1, 1.1), (4, 1.1)).speed_up(1.1, 1).value == pytest.approx(math.log(2))


points = st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.9, 1.5)), min_size=1, max_size=8)


@given(points)
def test_a_line_falls_strictly_and_lies_within_its_points(points):
    envelope = line(*points)

    assert all(left > right for left, right in pairwise(envelope.val_losses))
    assert all(left <= right for left, right in pairwise(envelope.log_flops))
    losses = [val_loss for _, val_loss in points]
    assert min(losses) - 1e-9 <= envelope.val_losses[-1] <= envelope.val_losses[0] <= max(losses) + 1e-9


@given(points, st.floats(0.8, 1.6), st.floats(0.8, 1.6))
def test_a_lower_loss_never_needs_less_compute(points, one, other):
    envelope = line(*points)

    low, high = envelope.log_compute(min(one, other)), envelope.log_compute(max(one, other))

    assert low.value >= high.value - 1e-9


# ---- which runs are on it ---------------------------------------------------------------------------------------


def test_at_each_budget_the_depth_of_the_least_mean_is_chosen_for_all_seeds():
    runs = {
        1: [run(1, 1.20, depth=2), run(1, 1.10, depth=4), run(9, 1.00, depth=2), run(9, 0.90, depth=4)],
        2: [run(1, 1.10, depth=2), run(1, 1.12, depth=4), run(9, 1.00, depth=2), run(9, 0.90, depth=4)],
    }

    assert frontier(runs) == (Cell(1, 4), Cell(9, 4))
    assert envelopes(runs)[2].val_losses == (1.12, 0.90)  # not its own 1.10, which was luck


def of_depths(budgets: tuple[float, ...], losses: dict[int, tuple[float, ...]]) -> list[UngrownRun]:
    return [
        run(budget, loss, depth) for depth, row in losses.items() for budget, loss in zip(budgets, row, strict=True)
    ]


def test_budgets_beside_have_a_say_in_which_depth_is_best():
    runs = {0: of_depths((1, 2, 4), {2: (1.2, 1.09, 1.0), 4: (1.1, 1.095, 0.9)})}

    assert frontier(runs) == (Cell(1, 4), Cell(2, 4), Cell(4, 4))  # by 0.005 the other depth was lucky at 2


def test_depths_cross_where_they_do():
    shallow, deep = (1.10, 1.08, 1.07, 1.065), (1.20, 1.10, 1.00, 0.95)

    assert [cell.depth for cell in frontier({0: of_depths((1, 2, 4, 8), {2: shallow, 8: deep})})] == [2, 2, 8, 8]


def test_a_depth_that_was_tried_at_one_budget_only_is_compared_there():
    runs = {0: [*of_depths((1, 2, 4), {4: (1.2, 1.1, 1.0)}), run(2, 1.05, depth=6)]}

    assert frontier(runs) == (Cell(1, 4), Cell(2, 6), Cell(4, 4))


def test_a_budget_that_is_worse_than_a_cheaper_one_is_not_on_it():
    runs = {0: [run(1, 1.2), run(2, 1.0), run(4, 1.1)]}  # overfits

    assert frontier(runs) == (Cell(1, 4), Cell(2, 4))
    assert ratio_text(envelopes(runs)[0].speed_up(0.99, 1)) == "> 2.00 ×"


def test_a_cell_that_a_seed_lacks_or_that_diverged_is_on_nobodys():
    runs = {
        1: [run(1, 1.2), run(2, 1.0), run(4, 0.9), run(8, 0.8)],
        2: [run(1, 1.2), run(4, 0.9), run(8, math.nan)],
    }

    assert frontier(runs) == (Cell(1, 4), Cell(4, 4))


# ---- means over seeds -------------------------------------------------------------------------------------------


def test_a_mean_of_speed_ups_is_geometric():
    assert ratio_text(mean_gain([Gain(math.log(1)), Gain(math.log(4))])) == "2.00 ×"


@pytest.mark.parametrize(
    ("bounds", "of_mean"),
    [
        ([Bound.EXACT, Bound.EXACT], Bound.EXACT),
        ([Bound.EXACT, Bound.AT_LEAST], Bound.AT_LEAST),
        ([Bound.AT_MOST, Bound.EXACT], Bound.AT_MOST),
        ([Bound.AT_MOST, Bound.AT_LEAST], Bound.NONE),
    ],
)
def test_a_mean_that_holds_a_bound_is_one_itself(bounds, of_mean):
    assert mean_gain([Gain(0.5, bound) for bound in bounds]).bound is of_mean


def test_a_mean_with_lower_bounds_reads_as_one():
    assert ratio_text(mean_gain([Gain(math.log(2.5), Bound.AT_LEAST), Gain(math.log(1.6))])) == "> 2.00 ×"


@given(st.floats(0.001, 1))
def test_a_margin_is_as_far_down_as_up_in_log_compute(share):
    assert math.exp(log_margin(share)) == pytest.approx(1 + share)
