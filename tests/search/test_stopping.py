"""The median rule, and what a search makes of trials that were stopped."""

from dataclasses import replace

import pytest

from growlab.domains import Fixed
from growlab.records import EarlyStop, PastTrial, RungReading, TrialState
from growlab.search import New, decide
from growlab.search.propose import ask_for
from growlab.search.rungs.standing import projected
from growlab.search.stopping import stop_again, stopped_by_median, told_at_marks
from growlab.specs import BudgetSpec
from growlab.stopping import MedianRule, StopRules
from growlab.study import Objective

MARK = 300


def reading(loss, *, rung=0, flops=None, slope=None):
    mark = MARK * 2**rung
    return RungReading(
        rung=rung, step=mark, mark=mark, flops=flops or mark, val_loss=loss, bits_per_byte=None, slope=slope
    )


def past(number, *losses, state=TrialState.STOPPED, by="median", value=None, layout="d=64 attn mlp"):
    readings = tuple(reading(loss, rung=rung) for rung, loss in enumerate(losses))
    return PastTrial(number=number, state=state, layout=layout, readings=readings, value=value, stopped_by=by)


def completed(number, *losses, value):
    return past(number, *losses, state=TrialState.COMPLETED, by="", value=value)


@pytest.fixture
def study(make_study):
    rules = StopRules(median=MedianRule(first=0.25, factor=2, min_trials=3))
    return replace(make_study(n_trials=9), budget=BudgetSpec(unit="flops", amount=4 * MARK), stop=rules)


def test_above_the_median_of_the_others_at_its_mark_a_trial_is_stopped_and_at_it_it_goes_on(study):
    others = {0: reading(2.0), 1: reading(3.0), 2: reading(4.0)}

    stop = stopped_by_median(study, 7, {**others, 7: reading(3.1)})

    assert stop == EarlyStop(
        rule="median", step=MARK, flops=MARK, share=0.25, val_loss=3.1, bound=3.0, rung=0, seen=(0, 1, 2)
    )
    assert stopped_by_median(study, 7, {**others, 7: reading(3.0)}) is None


def test_before_so_many_others_have_come_there_nobody_is_stopped(study):
    assert stopped_by_median(study, 7, {0: reading(2.0), 1: reading(2.0), 7: reading(9.0)}) is None


def test_who_was_read_later_is_compared_at_the_mark(study):
    """A growth had time to pay: what the others learn in that time is taken off."""
    others = {number: reading(loss, slope=-1.0) for number, loss in enumerate((2.0, 3.0, 4.0))}

    stop = stopped_by_median(study, 7, {**others, 7: reading(2.9, flops=2 * MARK)})

    assert stop is not None
    assert (stop.flops, stop.val_loss) == (2 * MARK, pytest.approx(2.9 + 0.6931, abs=1e-4))


def test_of_several_objectives_who_is_in_the_better_half_by_all_of_them_goes_on(study, kinds, measure):
    """Trial 3 has the highest loss, and by far the fewest parameters."""
    several = replace(study, objectives=(Objective(), Objective(metric="params")))
    layouts = ["d=64 (attn mlp)x2", "d=64 (attn mlp)x3", "d=64 (attn mlp)x3", "d=64 mlp"]
    trials = {at: past(at, 2.0 + at, layout=layout) for at, layout in enumerate(layouts)}
    readings = {number: trial.readings[0] for number, trial in trials.items()}
    told = told_at_marks(several, list(trials.values()), kinds, measure)

    assert stopped_by_median(several, 3, readings, told) is None
    assert stopped_by_median(study, 3, readings) is not None
    stop = stopped_by_median(several, 2, readings, told)
    assert stop is not None
    assert stop_again(several, 2, stop, trials, kinds, measure) == stop


def test_a_stop_is_made_again_of_the_readings_that_it_saw_and_of_no_later_one(study, kinds, measure):
    trials = {at: past(at, loss) for at, loss in enumerate((2.0, 2.2, 2.4, 2.3, 9.0, 9.0, 9.0))}
    stop = stopped_by_median(study, 3, {at: trials[at].readings[0] for at in range(4)})

    assert stop is not None
    assert stop_again(study, 3, stop, trials, kinds, measure) == stop
    assert stop_again(study, 3, stop, {**trials, 0: past(0)}, kinds, measure) is None  # it began again: too few


def test_what_was_stopped_at_a_mark_would_come_to_what_others_gained_from_there():
    trials = [*(completed(at, 3.0, 2.5, value=2.0 - at / 10) for at in range(3)), past(3, 4.0), past(4, 3.5, 3.2)]

    known = projected(trials, 2, "val_loss")

    assert [trial.value for trial in known] == pytest.approx([2.0, 1.9, 1.8, 4.0 - 0.5 - 0.6, 3.2 - 0.6])
    assert {trial.state for trial in known} == {TrialState.COMPLETED}
    assert known[3].value_sd >= known[4].value_sd > 0 == known[0].value_sd


@pytest.mark.parametrize("by", ["patience", "divergence"])
def test_what_its_own_evaluations_stopped_would_come_to_what_it_had(by):
    trials = [completed(0, value=2.0), completed(1, value=3.0), past(2, value=2.6, by=by), past(3, by=by)]

    *_, own, without = projected(trials, 0, "val_loss")

    assert (own.state, own.value) == (TrialState.COMPLETED, 2.6)
    assert own.value_sd > 0
    assert without == trials[3]  # nobody evaluated it: nothing is expected of it


@pytest.mark.parametrize("objectives", [(Objective(),), (Objective(), Objective(metric="params"))])
def test_a_sampler_is_told_what_a_stopped_trial_would_come_to_and_takes_it_for_no_failure(
    study, kinds, measure, objectives
):
    study = replace(study, objectives=objectives, train={**study.train, "lr": Fixed(value=1e-3)})
    trials = [*(completed(at, 3.0, 2.5, value=2.0) for at in range(3)), past(3, 4.0, value=4.5)]

    ask, _ = ask_for(study, trials, 4, kinds, measure)

    assert [trial.value for trial in ask.past] == pytest.approx([2.0, 2.0, 2.0, 3.0])
    assert all(len(trial.values) == len(objectives) for trial in ask.past) or len(objectives) == 1
    assert isinstance(decide(study, trials, kinds, measure), New)


def test_a_stopped_trial_that_a_person_told_is_no_failure_either(make_study, kinds, measure):
    trials = [completed(0, value=2.0), completed(1, value=3.0), past(2, by="", value=4.5)]

    ask, _ = ask_for(make_study(n_trials=9), trials, 3, kinds, measure)

    assert [trial.value for trial in ask.past] == [2.0, 3.0, 4.5]
    assert {trial.state for trial in ask.past} == {TrialState.COMPLETED}
