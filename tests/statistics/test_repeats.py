"""How many repeats would tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from growlab.statistics.gains import Gain
from growlab.statistics.repeats import power, repeats_to_agree, repeats_to_find, repeats_to_settle
from growlab.statistics.verdict import Rule, Verdict, decide

SD, MARGIN, ERROR = 0.064, np.log(1.05), 0.025


@given(st.integers(2, 60), st.floats(0.1, 2), st.floats(0.005, 0.1))
def test_power_is_that_of_the_noncentral_t_distribution(n, effect, error):
    expected = stats.nct.sf(stats.t.ppf(1 - error / 2, n - 1), n - 1, effect * n**0.5)

    assert power(n, effect, 1.0, error=error) == pytest.approx(expected, abs=1e-6)


def test_half_an_sd_needs_34_pairs_where_the_sd_is_known():
    assert repeats_to_find(0.5, sd=1.0, n=10**7, error=0.05, power=0.8) == 34  # as in tables of paired t tests


def test_fewer_repeats_to_begin_with_ask_for_more():
    asked = [repeats_to_find(MARGIN, sd=SD, n=n, error=ERROR, power=0.8) for n in (2, 3, 4, 8, 16, 1000)]

    assert asked == sorted(asked, reverse=True)
    assert asked[0] > 3 * asked[-1]


def test_what_no_number_of_repeats_would_find_is_none():
    assert repeats_to_find(1e-9, sd=1.0, n=4, error=0.05, power=0.8) is None


def found_at_what_was_asked(rng, n: int, *, naive: bool) -> float:
    """The chance, over pilots of n repeats, that as many fresh repeats as they ask for find an effect of the margin."""
    pilots = SD * np.sqrt(rng.chisquare(n - 1, 100) / (n - 1))
    known = 10**7 if naive else n  # as if the sd were known well
    asked = [repeats_to_find(MARGIN, sd=sd, n=known, error=ERROR, power=0.8) for sd in pilots]
    return float(np.mean([power(number, MARGIN, SD, error=ERROR) for number in asked]))


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_what_is_asked_for_finds_the_effect_in_75_percent_whatever_the_pilot_was(rng, n):
    assert found_at_what_was_asked(rng, n, naive=False) >= 0.75


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_as_if_the_pilots_sd_were_the_true_one_it_would_not(rng, n):
    assert found_at_what_was_asked(rng, n, naive=True) < 0.75


@given(st.integers(0, 10**6), st.floats(-0.3, 0.3), st.floats(0.02, 0.2))
def test_an_interval_no_wider_than_the_margin_gives_a_verdict_wherever_it_lies(seed, mean, sd):
    n = repeats_to_settle(MARGIN, sd=sd, error=0.05)
    noise = np.random.default_rng(seed).normal(size=n)
    values = mean + sd * 0.999999 * (noise - noise.mean()) / noise.std(ddof=1)

    decision = decide({"a": [Gain(float(value)) for value in values]}, Rule(margin=MARGIN, looks=1))["a"]

    assert decision.verdict is not Verdict.CANNOT_TELL


def test_six_repeats_of_one_sign_are_the_least_that_the_sign_test_decides():
    assert [repeats_to_agree(error) for error in (0.05, 0.025, 0.01)] == [6, 7, 8]
