"""The one procedure that decides, case by case. How often it errs is in test_refutation."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.statistics.gains import Bound, Gain
from growlab.statistics.repeats import repeats_to_find, repeats_to_settle
from growlab.statistics.verdict import Rule, Verdict, decide, p_value

ONE_LOOK = Rule(margin=0.05, looks=1)


def around(mean: float, half_width: float, level: float = 0.95) -> list[Gain]:
    """Three gains whose interval is mean ± half_width."""
    from scipy import stats

    step = half_width / stats.t.ppf((1 + level) / 2, 2) * math.sqrt(3)
    return [Gain(mean - step), Gain(mean), Gain(mean + step)]


def verdict(gains, rule=ONE_LOOK, **look):
    return decide({"arm": gains}, rule, **look)["arm"]


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.2, 0.19, Verdict.BETTER),
        (-0.2, 0.19, Verdict.WORSE),
        (0.2, 0.21, Verdict.CANNOT_TELL),
        (0.0, 0.049, Verdict.EQUAL),
        (0.0, 0.051, Verdict.CANNOT_TELL),
        (0.02, 0.01, Verdict.EQUAL),  # a gain, and too small to matter
        (0.02, 0.031, Verdict.CANNOT_TELL),
        (0.045, 0.01, Verdict.BETTER),
        (-0.045, 0.01, Verdict.WORSE),
    ],
)
def test_the_interval_decides(mean, half_width, expected):
    assert verdict(around(mean, half_width)).verdict is expected


def test_what_is_shown_is_the_usual_interval_and_what_decides_is_wider():
    decision = verdict(around(0.2, 0.19), Rule(margin=0.05, looks=2))

    assert decision.shown.half_width == pytest.approx(0.19)
    assert decision.shown.level == 0.95
    assert decision.deciding.level == pytest.approx(0.975)
    assert decision.verdict is Verdict.CANNOT_TELL


def test_each_look_spends_its_share_of_the_error():
    rule = Rule(margin=0.05, looks=2)

    first, second = verdict(around(0.2, 0.1), rule, look=1), verdict(around(0.2, 0.1), rule, look=2)

    assert first.deciding == second.deciding
    assert first.adjusted_p == pytest.approx(2 * first.p_value)


def test_a_family_shares_the_error():
    family = {"clear": around(0.2, 0.05), "alone it would do": around(0.2, 0.19), "nothing": around(0.01, 0.5)}

    decisions = decide(family, ONE_LOOK)

    assert [decision.verdict.value for decision in decisions.values()] == ["better", "cannot tell", "cannot tell"]
    assert verdict(family["alone it would do"]).verdict is Verdict.BETTER
    assert decisions["clear"].deciding.level == pytest.approx(1 - 0.05 / 3)
    assert decisions["nothing"].deciding.level == pytest.approx(1 - 0.05 / 2)


gains_of_an_arm = st.lists(st.floats(-0.3, 0.3).map(lambda value: Gain(round(value, 4))), min_size=2, max_size=6)


@given(st.dictionaries(st.sampled_from("abcdef"), gains_of_an_arm, min_size=1))
def test_a_verdict_the_deciding_interval_and_the_adjusted_p_value_agree(family):
    for decision in decide(family, Rule(margin=0.05)).values():
        low, high = decision.deciding.low, decision.deciding.high
        match decision.verdict:
            case Verdict.EQUAL:
                assert low + 1e-12 >= -0.05
                assert high <= 0.05 + 1e-12
            case Verdict.CANNOT_TELL:
                assert low <= 1e-9
                assert high >= -1e-9
                assert decision.adjusted_p > 0.05 - 1e-9
            case Verdict.BETTER:
                assert low > -1e-9
                assert decision.adjusted_p <= 0.05 + 1e-9
            case Verdict.WORSE:
                assert high < 1e-9
                assert decision.adjusted_p <= 0.05 + 1e-9


@given(gains_of_an_arm)
def test_better_seen_from_the_other_side_is_worse(gains):
    turned = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}
    one, other = verdict(gains), verdict([Gain(-gain.value) for gain in gains])

    assert other.verdict is turned.get(one.verdict, one.verdict)
    assert other.repeats == one.repeats


def test_one_repeat_tells_nothing_and_asks_for_a_pilot():
    decision = verdict([Gain(0.3)])

    assert (decision.verdict, decision.p_value, decision.repeats) == (Verdict.CANNOT_TELL, 1.0, 4)


def test_repeats_without_any_noise_tell_at_once():
    assert verdict([Gain(0.3), Gain(0.3)]).verdict is Verdict.BETTER
    assert verdict([Gain(0.0), Gain(0.0)]).verdict is Verdict.EQUAL


# ---- how many repeats would -------------------------------------------------------------------------------------


def test_cannot_tell_says_how_many_repeats_would():
    decision = verdict(around(0.02, 0.15), Rule(margin=0.05))

    assert decision.text("5 %") == f"cannot tell; {decision.repeats} repeats would"
    assert decision.repeats > 3


def test_after_the_last_look_it_asks_for_fresh_ones():
    decision = verdict(around(0.02, 0.15), Rule(margin=0.05), look=2)

    assert decision.text("5 %") == f"cannot tell; {decision.repeats} fresh repeats would"


def test_where_there_were_enough_to_find_the_margin_it_asks_for_an_interval_as_narrow_as_it():
    gains = [Gain(0.024 + 0.06 * (-1) ** seed) for seed in range(20)]

    decision = verdict(gains)

    assert decision.verdict is Verdict.CANNOT_TELL
    assert repeats_to_find(0.05, sd=decision.deciding.sd, n=20, error=0.05, power=0.8) <= 20
    assert decision.repeats == repeats_to_settle(0.05, sd=decision.deciding.sd, error=0.05) > 20


def test_what_no_number_of_repeats_would_tell_says_so():
    decision = verdict(around(0.0, 0.1), Rule(margin=1e-8))

    assert decision.text("0") == "cannot tell; more than a million repeats would"


# ---- bounds -----------------------------------------------------------------------------------------------------

BEYOND = Gain(math.log(2.5), Bound.AT_LEAST)


def test_beyond_the_envelope_the_sign_test_decides():
    six, five = verdict([BEYOND] * 6), verdict([BEYOND] * 5)

    assert (six.verdict, six.p_value) == (Verdict.BETTER, pytest.approx(2 / 64))
    assert (five.verdict, five.repeats) == (Verdict.CANNOT_TELL, 6)
    assert (six.shown, six.deciding, six.gain.bound) == (None, None, Bound.AT_LEAST)


def test_a_bound_that_leaves_the_sign_in_doubt_counts_for_no_side():
    doubtful = Gain(-0.01, Bound.AT_LEAST)  # more than 0.99 times: perhaps better, perhaps not

    assert p_value([BEYOND] * 6 + [doubtful]) == pytest.approx(2 * (1 + 7) / 2**7)
    assert p_value([doubtful]) == 1.0


def test_below_the_envelope_is_worse():
    assert verdict([Gain(math.log(0.5), Bound.AT_MOST)] * 6).verdict is Verdict.WORSE


def test_what_is_beyond_is_never_called_equal():
    assert verdict([Gain(0.001, Bound.AT_LEAST)] * 9).verdict is Verdict.BETTER
