"""The trigger `probe`: when a growth is tried."""

import pytest

from growlab.errors import SpecError
from growlab.growth.triggers.probe import Probe, ProbeOptions
from growlab.recipes import TRIGGERS, Pace, Trying
from growlab.scalar import default_values, with_defaults


def probe(**options: object) -> Probe:
    return Probe(options_of(**options))


def options_of(**options: object) -> ProbeOptions:
    read: ProbeOptions = TRIGGERS["probe"].read(default_values(ProbeOptions) | options)
    return read


def test_probe_is_due_at_each_share_once() -> None:
    trigger = probe(shares="0.1 0.3", share=0.05)

    assert not trigger.is_due(0.09)
    assert trigger.is_due(0.1)
    trigger.forget()
    assert not trigger.is_due(0.29)
    assert trigger.is_due(0.31)
    trigger.forget()
    assert not trigger.is_due(0.5)


def test_no_probe_is_due_that_would_leave_none_of_the_budget() -> None:
    trigger = probe(shares=0.5, share=0.2)

    assert trigger.is_due(0.59)
    assert not trigger.is_due(0.6)


def test_probe_goes_on_in_another_process_from_its_state() -> None:
    trigger, other = probe(shares="0.1 0.3"), probe(shares="0.1 0.3")
    trigger.forget()

    other.restore(trigger.state())

    assert not other.is_due(0.2)
    assert other.is_due(0.3)


def test_what_is_known_of_it_beforehand() -> None:
    options = options_of(shares="0.1 0.3", share=0.05, least=0.01)

    assert options.n_growths() == 2
    assert options.trying() == Trying(share=0.05, least=0.01)
    assert options.first_growth(Pace(eval_every=50, collect_interval_steps=10, n_steps=200)) == 20
    assert (options.in_vain(), options_of(shares=0.9, share=0.04).in_vain()) == ("", "")
    assert options_of(shares=0.9, share=0.05).in_vain().startswith("begins at 0.9 of the budget, and its two branches")


def test_a_silent_study_tries_one_growth_for_a_twentieth_of_the_budget_each_way() -> None:
    options = with_defaults(ProbeOptions)

    assert (options.shares.numbers, options.share, options.least) == ((0.1,), 0.05, 0.0)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_two_branches_are_less_than_the_budget(share: float) -> None:
    with pytest.raises(SpecError, match=r"growth\.trigger\.probe\.share must be between 0 and 0\.5, got"):
        options_of(share=share)
