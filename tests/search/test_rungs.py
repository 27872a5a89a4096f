"""Rungs: which paused trial goes on, and what readings say of where a trial would end."""

import math
from dataclasses import replace

import pytest

from growlab.layout import parse
from growlab.records import PastTrial, RungReading, TrialState
from growlab.rungs import Rungs
from growlab.search import Done, New, Promote, Wait, decide
from growlab.search.propose import ask_for
from growlab.search.replay import seen
from growlab.search.rungs.halving import order_at_rung
from growlab.search.rungs.standing import projected
from growlab.specs import BudgetSpec
from growlab.study import Objective

BUDGET = 900


def reading(rung, loss, *, flops=None, slope=None):
    mark = 100 * 3**rung
    return RungReading(
        rung=rung, step=mark, mark=mark, flops=flops or mark, val_loss=loss, bits_per_byte=None, slope=slope
    )


def trial(number, *losses, state=TrialState.PAUSED, may_pass=None, value=None):
    readings = tuple(loss if isinstance(loss, RungReading) else reading(at, loss) for at, loss in enumerate(losses))
    may_pass = len(losses) - (state is TrialState.PAUSED) if may_pass is None else may_pass
    return PastTrial(
        number=number, state=state, layout="d=64 attn mlp", readings=readings, may_pass=may_pass, value=value
    )


@pytest.fixture
def study_of(make_study):
    def make(n_trials, **rungs):
        study = make_study(n_trials=n_trials)
        return replace(study, budget=BudgetSpec(unit="flops", amount=BUDGET), rungs=Rungs(first=1 / 9, **rungs))

    return make


@pytest.fixture
def ask(kinds, measure):
    return lambda study, past: decide(study, past, kinds, measure)


def test_no_trial_goes_on_before_so_many_have_come_to_its_rung_as_the_factor_says(study_of, ask):
    study = study_of(9)

    assert isinstance(ask(study, [trial(0, 2.0), trial(1, 1.0)]), New)
    assert ask(study, [trial(0, 2.0), trial(1, 1.0), trial(2, 3.0)]).promotion.trial == 1


def test_the_best_of_the_highest_rung_goes_on_first(study_of, ask):
    climbed = [trial(at, 2.0 - at / 10, 1.8 - at / 10) for at in range(3)]
    low = [trial(at, 2.5 + at / 10) for at in range(3, 9)]

    found = ask(study_of(20), [*climbed, *low])

    assert (found.promotion.trial, found.promotion.rung) == (2, 1)


def test_a_share_that_went_on_already_is_not_promoted_again(study_of, ask):
    went_on = trial(0, 1.0, state=TrialState.RUNNING, may_pass=1)

    assert isinstance(ask(study_of(20), [went_on, trial(1, 2.0), trial(2, 3.0)]), New)
    assert isinstance(
        ask(
            study_of(20),
            [trial(0, 2.5, may_pass=1, state=TrialState.QUEUED), *(trial(at, 2.0 + at / 100) for at in range(1, 5))],
        ),
        New,
    )


def test_when_all_are_proposed_each_rung_sends_on_one_at_least_and_the_study_comes_to_an_end(study_of, ask):
    study, past = study_of(2), [trial(0, 2.0), trial(1, 1.0)]

    first = ask(study, past)
    past[1] = trial(1, 1.0, may_pass=1, state=TrialState.RUNNING)
    waits = ask(study, past)
    past[1] = trial(1, 1.0, 0.9)
    second = ask(study, past)
    past[1] = trial(1, 1.0, 0.9, state=TrialState.COMPLETED, value=0.8, may_pass=2)

    assert [(each.promotion.trial, each.promotion.rung) for each in (first, second)] == [(1, 0), (1, 1)]
    assert (waits, ask(study, past)) == (Wait(), Done())


def test_a_reading_that_was_taken_later_is_brought_back_to_its_rung(study_of, ask):
    """A growth had time to pay: what the others learn in that time is taken off."""
    late = trial(2, reading(0, 1.95, flops=150))
    others = [trial(0, reading(0, 2.0, slope=-0.5)), trial(1, reading(0, 2.6, slope=-0.5))]

    [at_mark] = {each.value for each in projected([*others, late], 2, "val_loss") if each.number == 2}

    assert at_mark == pytest.approx(1.95 + 0.5 * math.log(1.5))
    assert ask(study_of(9), [*others, late]).promotion.trial == 0


def test_values_of_different_rungs_are_compared_where_they_would_end():
    past = [
        trial(0, 3.0, 2.0, state=TrialState.COMPLETED, value=1.5, may_pass=2),
        trial(1, 3.2, 2.4),
        trial(2, 2.9),
        PastTrial(number=3, state=TrialState.RUNNING, layout=""),
    ]

    found = projected(past, 2, "val_loss")

    # from the first rung to the second trials gained 1.0 and 0.8, from there to the end 0.5
    assert [each.value for each in found] == pytest.approx([1.5, 1.9, 2.9 - 0.9 - 0.5, None])
    assert [each.state for each in found] == [TrialState.COMPLETED] * 3 + [TrialState.RUNNING]


def test_of_several_objectives_that_goes_on_first_which_adds_most_to_the_front_of_its_rung(study_of, ask):
    """Trial 1 has a loss near the lowest at a third of the parameters, 2 is worse than it in both."""
    study = replace(study_of(9), objectives=(Objective(), Objective(metric="params")))
    layouts = ["d=64 (attn mlp)x3", "d=64 attn mlp", "d=64 (attn mlp)x2"]
    past = [
        replace(trial(at, loss), layout=layout)
        for at, (loss, layout) in enumerate(zip((1.9, 2.0, 3.0), layouts, strict=True))
    ]

    decision = ask(study, past).promotion

    assert (decision.trial, ask(study_of(9), past).promotion.trial) == (1, 0)
    assert ask(study, seen(decision, {each.number: each for each in past})).promotion == decision


def test_an_order_at_a_rung_is_by_value_by_rank_or_by_what_a_trial_adds():
    assert order_at_rung({1: (2.0,), 0: (2.0,), 2: (1.0,)}) == [2, 0, 1]
    assert order_at_rung({0: (2.0, 1.0), 1: (1.0, 2.0), 2: (2.0, 2.0), 3: (1.0, math.inf), 4: (0.5,)}) == [
        1,
        0,
        2,
        4,
        3,
    ]
    assert order_at_rung({0: (0.0, 9.0), 1: (1.0, 8.0), 2: (2.0, 1.0), 3: (9.0, 0.0)})[:1] == [2]
    assert order_at_rung({0: (math.inf, 1.0), 1: (2.0, math.inf)}) == [1, 0]
    assert order_at_rung({}) == []


def test_what_is_expected_of_a_trial_that_waits_has_all_values_where_layouts_tell_the_rest(study_of, kinds, measure):
    several = replace(study_of(9), objectives=(Objective(), Objective(metric="params")))
    measured = replace(several, objectives=(Objective(), Objective(metric="accuracy")))
    past = [trial(0, 2.0), PastTrial(number=1, state=TrialState.RUNNING, layout="d=64 attn mlp")]

    found = [ask_for(study, past, 2, kinds, measure)[0].past for study in (several, measured)]

    n_params = measure(parse("d=64 attn mlp"))
    assert [[each.values for each in past] for past in found] == [[(2.0, n_params), ()], [(), ()]]


def test_a_promotion_is_made_again_after_all_has_gone_on(study_of, ask):
    study = study_of(9)
    then = [trial(0, 2.0), trial(1, 1.0), trial(2, 3.0), PastTrial(number=3, state=TrialState.RUNNING, layout="")]
    made = ask(study, then).promotion
    now = {
        0: trial(0, 2.0, 1.7),
        1: trial(1, 1.0, 0.9, state=TrialState.COMPLETED, value=0.8, may_pass=2),
        2: trial(2, 3.0),
        3: trial(3, 0.5),
    }

    assert ask(study, seen(made, now)) == Promote(made)
