"""What is called overfitting, and what is not: closed examples."""

import math
from random import Random

import pytest

from growlab.report.overfitting import LEAST_EVALUATIONS, LONG, MARGIN, overfits_since

FALLING = {step: 3.0 - step / 50 for step in range(10, 101, 10)}  # 2.8, 2.6, …, 1.0
# best at 40, then 0.1 more each
TURNED = {10: 2.9, 20: 2.7, 30: 2.5, 40: 2.4} | {step: 2.4 + (step - 40) / 100 for step in range(50, 101, 10)}


def test_val_loss_that_rises_while_the_training_loss_falls_is_marked_from_its_best():
    assert overfits_since(TURNED, FALLING) == 40


def test_of_two_equal_best_losses_the_first_counts():
    assert overfits_since(TURNED | {50: 2.4}, FALLING) == 40


def test_order_does_not_matter():
    assert overfits_since(dict(reversed(TURNED.items())), dict(reversed(FALLING.items()))) == 40


@pytest.mark.parametrize(
    ("val_loss", "train_loss"),
    [
        ({}, {}),
        (FALLING, FALLING),
        (TURNED, {}),
        (TURNED, dict.fromkeys(FALLING, 2.0)),  # it does not learn its training text either
        (TURNED, {step: 4.0 - loss for step, loss in FALLING.items()}),  # both rise: it diverges
        (TURNED | {90: 2.44}, FALLING),  # it came back
        (FALLING | {100: 9.0}, FALLING),  # not for long
        (FALLING | {90: 9.0, 100: 9.0}, FALLING),
    ],
)
def test_anything_else_is_not(val_loss, train_loss):
    assert overfits_since(val_loss, train_loss) is None


def test_less_than_the_margin_is_noise():
    def risen_by(rise):
        return {10: 2.0} | dict.fromkeys((20, 30, 40), 2.0 + rise)

    assert overfits_since(risen_by(1.01 * MARGIN), FALLING) == 10
    assert overfits_since(risen_by(0.99 * MARGIN), FALLING) is None


def test_it_takes_three_evaluations_after_the_best():
    steps = range(10, 10 * (LEAST_EVALUATIONS + 2), 10)

    assert [overfits_since({10: 1.0} | dict.fromkeys(steps[1:n], 2.0), FALLING) for n in range(1, 5)] == [
        None,
        None,
        None,
        10,
    ]


def test_of_many_evaluations_a_quarter_of_the_steps_must_lie_above():
    many = dict.fromkeys(range(1, 101), 3.0)
    train = {step: 3.0 - step / 50 for step in many}

    assert LONG == 0.25
    assert overfits_since(many | {75: 2.0}, train) == 75
    assert overfits_since(many | {76: 2.0}, train) is None


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_not_marked(seed):
    random = Random(seed)
    noisy = {step: 2.0 + random.uniform(-1, 1) * MARGIN / 2 for step in range(10, 501, 10)}
    wild = {step: 2.0 + random.gauss(0, 0.2) for step in range(10, 501, 10)}

    assert overfits_since(noisy, {step: 3.0 - step / 500 for step in noisy}) is None
    assert overfits_since(wild, wild) is None


def test_what_is_not_finite_is_no_evaluation():
    assert overfits_since(TURNED | {5: math.nan, 105: math.inf}, FALLING | {5: math.nan}) == 40
