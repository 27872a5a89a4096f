"""The stagnation trigger, check by check."""

import math
from collections.abc import Callable, Sequence

import pytest

from growlab.growth.moment import Moment
from growlab.growth.triggers.stagnation import Stagnation, StagnationOptions, relative_improvement
from growlab.scalar import with_defaults

MomentOf = Callable[..., Moment]
Answers = Callable[..., list[bool]]


def options(**changes: float) -> StagnationOptions:
    return with_defaults(StagnationOptions, **({"warmup_steps": 0} | changes))


@pytest.fixture
def spec() -> StagnationOptions:
    return options(patience=3, threshold=0.1, tau_crit=2.0, kappa_crit=0.5)


@pytest.fixture
def answers(moment: MomentOf) -> Answers:
    def ask(
        spec: StagnationOptions, losses: Sequence[float], tau: float | None = 3.0, kappa: float | None = 1.0
    ) -> list[bool]:
        trigger = Stagnation(spec)
        return [trigger.check(moment(loss, tau=tau, kappa=kappa)) for loss in losses]

    return ask


def test_a_plateau_fires_after_exactly_patience_stagnant_checks(spec: StagnationOptions, answers: Answers) -> None:
    # the first check has nothing to compare with and never counts
    assert answers(spec, [2.0] * 4) == [False, False, False, True]


def test_patience_one_fires_at_the_first_check_that_can_be_compared(answers: Answers) -> None:
    assert answers(options(patience=1, threshold=0.1), [2.0, 2.0]) == [False, True]


def test_a_curve_that_improves_enough_never_fires(spec: StagnationOptions, answers: Answers) -> None:
    losses = [4.0 * 0.89**at for at in range(50)]

    assert not any(answers(spec, losses))


def test_improvement_of_exactly_the_threshold_is_progress(answers: Answers) -> None:
    spec = options(patience=1, threshold=0.25)

    assert answers(spec, [2.0, 1.5, 1.125]) == [False, False, False]


def test_a_curve_that_improves_too_little_fires(spec: StagnationOptions, answers: Answers) -> None:
    losses = [4.0 * 0.91**at for at in range(4)]

    assert answers(spec, losses) == [False, False, False, True]


def test_a_curve_that_gets_worse_fires(spec: StagnationOptions, answers: Answers) -> None:
    assert answers(spec, [2.0, 2.1, 2.2, 2.3])[-1]


def test_one_good_check_starts_the_count_anew(spec: StagnationOptions, answers: Answers) -> None:
    losses = [2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]

    assert answers(spec, losses) == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("tau", "kappa"), [(1.99, 9.0), (9.0, 0.49), (None, None)], ids=["short", "straight", "never moved"]
)
def test_a_path_that_is_not_long_and_bent_is_no_evidence(
    spec: StagnationOptions, tau: float | None, kappa: float | None, answers: Answers
) -> None:
    assert not any(answers(spec, [2.0] * 20, tau, kappa))


def test_a_check_without_evidence_starts_the_count_anew(spec: StagnationOptions, moment: MomentOf) -> None:
    trigger = Stagnation(spec)

    for tau in (3.0, 3.0, 3.0, None):
        trigger.check(moment(2.0, tau=tau, kappa=1.0))

    assert trigger.stagnant_checks == 0


@pytest.mark.parametrize(("tau", "kappa"), [(2.0, 0.5), (math.inf, math.inf)], ids=["just critical", "closed"])
def test_the_critical_values_themselves_and_a_closed_path_are_stagnant(
    spec: StagnationOptions, tau: float, kappa: float, answers: Answers
) -> None:
    assert answers(spec, [2.0] * 4, tau, kappa)[-1]


def test_it_goes_on_asking_until_somebody_grows(spec: StagnationOptions, answers: Answers) -> None:
    assert answers(spec, [2.0] * 6)[3:] == [True, True, True]


def test_an_evaluation_that_is_no_check_is_compared_with_but_does_not_count(
    spec: StagnationOptions, moment: MomentOf
) -> None:
    trigger = Stagnation(spec)
    for _ in range(3):
        trigger.check(moment(2.0, tau=3.0, kappa=1.0))

    trigger.look(moment(1.0))

    assert trigger.stagnant_checks == 0
    assert [trigger.check(moment(1.0, tau=3.0, kappa=1.0)) for _ in range(3)] == [False, False, True]


def test_what_counts_is_the_last_check_and_not_the_best_one(answers: Answers) -> None:
    spec = options(patience=1, threshold=0.1)

    assert answers(spec, [2.0, 1.0, 3.0, 2.0]) == [False, False, True, False]


def test_an_evaluation_that_is_worse_than_the_best_is_compared_with(moment: MomentOf) -> None:
    trigger = Stagnation(options(patience=1, threshold=0.1))
    trigger.look(moment(1.0))
    trigger.look(moment(3.0))

    assert not trigger.check(moment(2.0, tau=3.0, kappa=1.0))


def test_a_loss_that_is_not_a_number_is_no_evidence(spec: StagnationOptions, answers: Answers) -> None:
    assert not any(answers(spec, [2.0, math.nan, math.nan, math.nan, math.nan]))


def test_improvement_is_relative_to_the_loss_before() -> None:
    assert relative_improvement(2.0, 1.5) == 0.25
    assert relative_improvement(2.0, 3.0) == -0.5
    assert relative_improvement(math.inf, 1.5) == math.inf


def test_nothing_is_checked_before_the_warm_up_is_over(moment: MomentOf) -> None:
    trigger = Stagnation(options(patience=1, warmup_steps=20))

    asked = [trigger.check(moment(2.0, step=step)) for step in (0, 10, 19, 20)]

    assert asked == [False, False, False, True]


def test_it_goes_on_in_another_process_from_its_state(moment: MomentOf, spec: StagnationOptions) -> None:
    trigger, other = Stagnation(spec), Stagnation(spec)
    for _ in range(3):
        trigger.check(moment(2.0))

    other.restore(trigger.state())

    assert trigger.state() == {"stagnant_checks": 2, "last_val_loss": 2.0}
    assert other.check(moment(2.0))
