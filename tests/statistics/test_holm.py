"""Holm's procedure: closed forms, and the error of a whole family."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.statistics.holm import adjusted, step_errors
from growlab.statistics.verdict import p_value

families = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=8)


def test_four_p_values_by_hand():
    p_values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}

    assert adjusted(p_values) == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert step_errors(p_values, 0.05) == pytest.approx({"d": 0.05 / 4, "a": 0.05 / 3, "c": 0.05 / 2, "b": 0.05 / 2})


def test_after_the_first_failure_nothing_is_rejected():
    p_values = {"clear": 0.001, "fails": 0.03, "would pass alone": 0.04}

    errors = step_errors(p_values, 0.05)

    assert [name for name in p_values if p_values[name] <= errors[name]] == ["clear"]


def test_one_question_is_not_corrected():
    assert adjusted({"a": 0.04}) == {"a": 0.04}
    assert step_errors({"a": 0.04}, 0.05) == {"a": 0.05}


@given(families, st.floats(0.001, 0.2))
def test_a_step_rejects_exactly_what_the_adjusted_value_rejects(p_values, error):
    by_step = {name for name, at in step_errors(p_values, error).items() if p_values[name] <= at * (1 + 1e-12)}

    assert by_step == {name for name, p in adjusted(p_values).items() if p <= error * (1 + 1e-12)}


@given(families)
def test_adjusted_values_keep_the_order_and_lie_between_holms_ends(p_values):
    k, found = len(p_values), adjusted(p_values)

    in_order = sorted(p_values, key=p_values.__getitem__)
    assert [found[name] for name in in_order] == sorted(found.values())
    assert all(p_values[name] <= found[name] <= min(1, k * p_values[name]) for name in p_values)


@pytest.fixture
def family_errors(noisy_losses, exact):
    """By procedure, how often any of the arms without an effect is rejected: five arms against one baseline, four
    repeats; one of the arms is truly better."""
    simulations, rejected = 3000, {"Holm": 0, "none": 0}
    losses = noisy_losses(6 * simulations, 4).reshape(simulations, 6, 4)
    losses[:, 1] -= 0.02
    for of_family in losses:
        p_values = {str(arm): p_value(exact(of_family[0] - of_family[arm])) for arm in range(1, 6)}
        nothing = [name for name in p_values if name != "1"]
        errors = step_errors(p_values, 0.05)
        rejected["Holm"] += any(p_values[name] <= errors[name] for name in nothing)
        rejected["none"] += any(p_values[name] <= 0.05 for name in nothing)
    return {name: count / simulations for name, count in rejected.items()}


def test_any_false_rejection_in_a_family_comes_in_at_most_5_percent(family_errors):
    own_error = np.sqrt(0.05 * 0.95 / 3000)

    assert family_errors["Holm"] <= 0.05 + 2 * own_error  # 5.8 %
    assert family_errors["Holm"] > 0.02  # it does reject


def test_without_holm_it_comes_in_more(family_errors):
    assert family_errors["none"] > 0.1
