"""What comes next in a study: a new trial, waiting for those that run, or nothing."""

from dataclasses import replace

from growlab.records import PastTrial, Spent, TrialState
from growlab.search import Done, New, Wait, decide, propose
from growlab.study import Limits


def past_of(*states):
    return [PastTrial(number=at, state=state, layout="d=64 attn", value=1.0) for at, state in enumerate(states)]


def test_a_study_that_wants_more_gets_the_trial_that_it_would_propose(make_study, kinds, measure):
    study, past = make_study(n_trials=3), past_of(TrialState.COMPLETED, TrialState.RUNNING)

    assert decide(study, past, kinds, measure) == New(propose(study, past, 2, kinds, measure))
    assert decide(study, past[::-1], kinds, measure) == decide(study, past, kinds, measure)


def test_a_study_that_has_all_its_trials_waits_for_those_that_are_not_over(make_study, kinds, measure):
    study = make_study(n_trials=2)

    waits = [decide(study, past_of(TrialState.COMPLETED, each), kinds, measure) for each in TrialState]

    assert [isinstance(each, Done) for each in waits] == [state.is_final for state in TrialState]
    assert all(isinstance(each, Done | Wait) for each in waits)


def test_a_study_that_is_over_proposes_nothing_and_waits_for_what_runs_not_for_what_is_queued(
    make_study, kinds, measure
):
    study = replace(make_study(n_trials=9), limits=Limits(budget={"hours": 8.0}))
    spent = [Spent(hours=7.9), Spent(hours=8.0)]

    goes_on, over = (decide(study, past_of(TrialState.RUNNING), kinds, measure, each) for each in spent)
    queued = decide(study, past_of(TrialState.COMPLETED, TrialState.QUEUED), kinds, measure, spent[1])

    assert isinstance(goes_on, New)
    assert (over, queued) == (Wait(), Done())
