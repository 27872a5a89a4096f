"""Trials that a stop rule ended: why, what they came to, and what others came to at the same mark."""

import pytest

from growlab.errors import SpecError, StorageError
from growlab.records import EarlyStop, TrialState
from growlab.rungs import Ladder, Rungs
from growlab.stopping import MedianRule, StopRules

STOP = EarlyStop(
    rule="median", step=10, flops=2**70 + 2**20, share=0.25, val_loss=2.5, bound=2.0, rung=0, seen=(1, 2), revision=3
)


@pytest.fixture
def claim(lab):
    lab.enqueue(0, 1)
    return lab.claim(lab.worker())


def test_a_claim_says_by_which_rules_a_trial_may_end_and_lets_it_pass_all_marks(lab):
    rules = {"median": {"first": 0.25, "factor": 2.0, "min_trials": 3}, "grace": 0.1}
    lab.store.change_study("nightly", {"budget": {"flops": 10**9}, "stop": rules})
    lab.enqueue(0)

    claim = lab.claim(lab.worker())

    assert claim.rules == StopRules(median=MedianRule(first=0.25, factor=2.0, min_trials=3), grace=0.1)
    assert claim.ladder == Ladder(rungs=Rungs(first=0.25, factor=2.0, grace=0.1), may_pass=2)


def test_a_study_without_rules_has_none_in_its_claims(claim):
    assert (claim.rules, claim.ladder) == (None, None)


def test_damaged_rules_are_told(lab):
    lab.store.change_study("nightly", {"stop": {"median": {"first": 7}}})
    lab.enqueue(0)

    with pytest.raises(SpecError, match=r"stop.median.first must be greater than 0 and below 1, got 7"):
        lab.claim(lab.worker())


def test_a_stop_is_read_back_with_what_it_saw_and_the_trial_is_over(lab, claim, make_reading):
    result = lab.result(TrialState.STOPPED, val_loss=2.5, error=STOP.reason)
    lab.store.finish(claim, result, [make_reading(), STOP], [])
    lab.store.finish(claim, result, [make_reading(), STOP], [])  # the first answer was lost

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.val_loss, trial.error) == (TrialState.STOPPED, 2.5, STOP.reason)
    assert lab.store.stops(lab.study_id) == {0: STOP}
    assert lab.store.counts(lab.study_id)[TrialState.STOPPED] == 1
    assert lab.claim(lab.worker("gpu1")).number == 1


def test_a_search_sees_what_a_stopped_trial_came_to_and_by_which_rule_it_ended(lab, claim, make_reading):
    lab.store.finish(claim, lab.result(TrialState.STOPPED, val_loss=2.5), [make_reading(), STOP], [])

    first, second = lab.past()
    assert (first.state, first.value, first.stopped_by) == (TrialState.STOPPED, 2.5, "median")
    assert (first.readings, dict(first.metrics)) == ((make_reading(),), {})
    assert (second.value, second.stopped_by) == (None, "")
    assert lab.store.spent(lab.study_id).best == {}  # of what completed


def test_readings_at_a_mark_are_those_of_all_trials_of_the_study_that_came_there(lab, claim, make_reading):
    lab.store.commit(claim, [make_reading(), make_reading(1, val_loss=1.5)], lab.checkpoint(10))
    other = lab.add_study("other")
    lab.store.enqueue(other, lab.proposal(0))
    elsewhere = lab.store.claim_next(other, lab.worker("gpu1"), lease_s=60)
    lab.store.commit(elsewhere, [make_reading(val_loss=9.0)], lab.checkpoint(10))

    assert lab.store.readings_at(lab.study_id, 0) == {0: make_reading()}
    assert lab.store.readings_at(lab.study_id, 1) == {0: make_reading(1, val_loss=1.5)}
    assert lab.store.readings_at(lab.study_id, 2) == {}


def test_a_damaged_stop_is_told_with_its_trial(lab, claim):
    lab.store.finish(claim, lab.result(TrialState.STOPPED), [STOP], [])
    lab.sql("UPDATE gl_stops SET seen = '[1, \"two\"]'")

    with pytest.raises(StorageError, match=r"trial 0 has a damaged row: gl_stops.seen"):
        lab.store.stops(lab.study_id)


def test_stops_go_with_their_study(lab, claim):
    lab.store.finish(claim, lab.result(TrialState.STOPPED, val_loss=2.5, error=STOP.reason), [STOP], [])
    assert lab.count("gl_stops") == 1

    lab.store.delete_study("nightly")

    assert lab.count("gl_stops") == 0
