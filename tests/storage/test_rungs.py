"""Trials that come to a rung: paused, promoted, read and never lost, whoever asks and however often."""

import threading
import time
from dataclasses import replace

import pytest

from growlab.errors import LeaseLost, SpecError, StorageError
from growlab.records import Climb, EndReason, Metric, Prediction, TrialState
from growlab.rungs import Ladder, Rungs
from growlab.storage import Store, queue


@pytest.fixture
def rungs(lab):
    """The study's rungs; its budget is in FLOPs then."""
    rungs = Rungs(first=0.25, factor=2)
    lab.store.change_study("nightly", {"budget": {"flops": 10**9}, "rungs": vars(rungs)})
    return rungs


@pytest.fixture
def claim(lab):
    lab.enqueue(0)
    return lab.claim(lab.worker())


@pytest.fixture
def paused(lab, claim, make_reading):
    """The claim of trial 0, which waits at rung 0."""
    lab.store.pause(claim, [lab.val_loss(10), make_reading()], lab.checkpoint(10))
    return claim


def test_a_pause_ends_the_attempt_and_keeps_all_that_was_learnt(lab, claim, make_reading):
    lab.store.commit(claim, [lab.val_loss(5)], lab.checkpoint(5))
    lab.store.pause(claim, [lab.val_loss(10), make_reading()], lab.checkpoint(10))

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.lease_left_s, trial.may_pass) == (TrialState.PAUSED, None, 0)
    assert (trial.newest_step, trial.newest_val_loss, trial.ended_at) == (10, 2.0, None)
    [attempt] = lab.store.attempts(trial.id)
    assert (attempt.end_reason, attempt.step) == (EndReason.PAUSED, 10)
    assert attempt.ended_at is not None
    assert lab.store.artifacts(trial.id) == [lab.checkpoint(10)]
    assert lab.store.readings(trial.id) == [make_reading()]
    assert [metric.step for metric in lab.store.metrics(trial.id)] == [5, 10]


def test_a_pause_whose_answer_was_lost_may_be_repeated(lab, paused, make_reading):
    lab.store.pause(paused, [make_reading(val_loss=9.0)], lab.checkpoint(10))

    assert lab.store.readings(paused.trial_id) == [make_reading()]


def test_a_pause_is_known_as_such_after_its_trial_has_gone_on(lab, paused, make_promotion, make_reading):
    lab.store.promote(lab.study_id, make_promotion())
    lab.claim(lab.worker("gpu1"))

    lab.store.pause(paused, [make_reading(val_loss=9.0)], lab.checkpoint(10))

    assert lab.store.ended_as(paused) is EndReason.PAUSED
    assert lab.state() is TrialState.RUNNING
    assert lab.store.readings(paused.trial_id) == [make_reading()]


def test_who_lost_the_lease_pauses_nothing(lab, claim, make_reading):
    lab.expire(claim)
    other = lab.claim(lab.worker("gpu1"))

    with pytest.raises(LeaseLost, match="worker gpu0 no longer owns trial 0"):
        lab.store.pause(claim, [make_reading()], lab.checkpoint(10))

    assert (other.number, lab.state()) == (0, TrialState.RUNNING)
    assert lab.store.readings(claim.trial_id) == lab.store.artifacts(claim.trial_id) == []


def test_a_pause_forgives_strikes(lab, claim, make_reading):
    lab.store.release(claim, EndReason.CRASHED)
    again = lab.claim(lab.worker())

    lab.store.pause(again, [make_reading()], lab.checkpoint(10))

    assert lab.store.trial(lab.study_id, 0).strikes == 0


def test_a_paused_trial_is_taken_by_nobody_and_holds_up_no_deletion(lab, paused):
    assert lab.claim(lab.worker()) is None
    assert lab.store.n_under_way(lab.study_id) == 0
    assert lab.store.counts(lab.study_id)[TrialState.PAUSED] == 1

    lab.store.delete_study("nightly")

    assert lab.count("gl_rungs") == 0


def test_a_promoted_trial_goes_on_from_its_checkpoint(lab, rungs, paused, make_promotion):
    assert paused.ladder == Ladder(rungs=rungs, may_pass=0)
    assert lab.store.promote(lab.study_id, make_promotion(), revision=1)

    again = lab.claim(lab.worker("gpu1"))

    assert (again.number, again.epoch, again.checkpoint) == (0, 2, lab.checkpoint(10))
    assert again.ladder == Ladder(rungs=rungs, may_pass=1)


def test_a_promoted_trial_has_begun_and_goes_on_in_a_study_that_is_over(lab, rungs, paused, make_promotion):
    lab.enqueue(1)
    lab.store.change_study("nightly", {"budget": {"flops": 10**9, "study": {"gpu_hours": 1e-12}}})
    lab.store.promote(lab.study_id, make_promotion())

    assert lab.claim(lab.worker()).number == 0
    assert lab.claim(lab.worker()) is None


def test_there_is_no_ladder_without_rungs(claim):
    assert claim.ladder is None


def test_damaged_rungs_are_told(lab, rungs, claim):
    lab.enqueue(1)
    lab.store.change_study("nightly", {"rungs": {"factor": "three"}})

    with pytest.raises(SpecError, match=r"rungs\.factor"):
        lab.claim(lab.worker())


def test_what_does_not_wait_at_that_rung_of_that_study_is_not_promoted(lab, paused, make_promotion):
    lab.enqueue(1)
    other = lab.add_study("other")

    for trial, rung in ((0, 1), (1, 0), (9, 0)):
        assert not lab.store.promote(lab.study_id, make_promotion(trial, rung))
    assert not lab.store.promote(other, make_promotion())

    assert lab.state() is TrialState.PAUSED
    assert lab.count("gl_promotions") == 0


def test_of_two_workers_that_promote_a_trial_at_once_one_does(lab, paused, make_promotion):
    """The second one asks while the first one's transaction is open, and waits for its end."""
    answers = []
    with Store.open(lab.url) as other:
        second = threading.Thread(target=lambda: answers.append(other.promote(lab.study_id, make_promotion())))

        def first(connection):
            answers.append(queue.promote(connection, lab.study_id, make_promotion(), 0))
            second.start()
            time.sleep(0.05)  # for it to ask; where it takes longer the answers are the same
            assert len(answers) == 1

        lab.database.write(first)
        second.join()

    assert answers == [True, False]
    assert lab.count("gl_promotions") == 1
    assert lab.store.trial(lab.study_id, 0).may_pass == 1


def test_a_promotion_is_read_back_with_what_it_saw(lab, paused, make_promotion):
    promotion = make_promotion(predicted=Prediction(mean=1.5, sd=0.25, runs=1.0))

    lab.store.promote(lab.study_id, promotion, revision=2)

    assert lab.store.promotions(paused.trial_id) == [replace(promotion, revision=2)]
    assert lab.store.all_promotions(lab.study_id) == [replace(promotion, revision=2)]


def test_promotions_of_a_study_are_read_in_their_order(lab, make_promotion, make_reading):
    lab.enqueue(0, 1)
    worker = lab.worker()
    for number in (0, 1):
        lab.store.pause(lab.claim(worker), [make_reading()], lab.checkpoint(number))
    for number in (1, 0):
        lab.store.promote(lab.study_id, make_promotion(number))

    assert [promotion.trial for promotion in lab.store.all_promotions(lab.study_id)] == [1, 0]


def test_a_decision_keeps_how_far_others_had_come(lab):
    climbs = (Climb(trial=3, n_readings=2, may_pass=1), Climb(trial=4, n_readings=1, may_pass=0))
    decision = replace(lab.decision(0), climbs=climbs)

    lab.store.enqueue(lab.study_id, replace(lab.proposal(0), decision=decision))

    assert lab.store.decision(lab.store.trial(lab.study_id, 0).id) == decision


def test_a_damaged_climb_is_told_with_its_trial(lab, paused, make_promotion):
    lab.store.promote(lab.study_id, make_promotion())
    reads = {"gl_decisions": lab.store.decision, "gl_promotions": lab.store.promotions}

    for table, read in reads.items():
        for words in ("3", "[[1, 2]]", '[[1, 2, "x"]]'):
            lab.sql(f"UPDATE {table} SET climbs = '{words}'")
            with pytest.raises(StorageError, match=rf"trial 0 has a damaged row: {table}\.climbs: must"):
                read(paused.trial_id)


def test_a_search_sees_how_far_each_trial_has_come(lab, paused, make_promotion, make_reading):
    lab.enqueue(1, 2)
    worker = lab.worker()
    lab.store.promote(lab.study_id, make_promotion())
    lab.store.pause(lab.claim(worker), [make_reading(1)], lab.checkpoint(20))  # the first one, at its second rung
    lab.store.pause(lab.claim(worker), [make_reading()], lab.checkpoint(10))

    past = lab.store.past_trials(lab.study_id, "val_loss")

    assert [trial.readings for trial in past] == [(make_reading(), make_reading(1)), (make_reading(),), ()]
    assert [trial.may_pass for trial in past] == [1, 0, 0]
    assert [trial.is_paused for trial in past] == [True, True, False]
    assert lab.store.all_readings(lab.study_id) == {0: past[0].readings, 1: past[1].readings}


def test_a_trial_that_runs_waits_at_no_rung_whatever_it_has_read(lab, claim, make_reading):
    """At the end of its budget it passes a rung that it may not pass; what it read counts with its result."""
    lab.store.commit(claim, [make_reading()], lab.checkpoint(10))
    [running] = lab.store.past_trials(lab.study_id, "val_loss")
    lab.store.finish(claim, lab.result(), [], [])
    [ended] = lab.store.past_trials(lab.study_id, "val_loss")

    assert (running.is_paused, running.readings) == (False, ())
    assert (ended.is_paused, ended.readings) == (False, (make_reading(),))


def test_numbers_of_a_reading_that_sql_cannot_hold_come_back_as_they_were(lab, claim, make_reading):
    odd = make_reading(val_loss=float("inf"), bits_per_byte=None, slope=None, extra_flops=2**72)

    lab.store.pause(claim, [odd], lab.checkpoint(10))

    assert lab.store.readings(claim.trial_id) == [odd]
    assert lab.sql("SELECT val_loss, bits_per_byte, not_finite FROM gl_rungs") == [(None, None, "val_loss=inf")]


def test_what_readings_cost_is_spent_by_the_study(lab, claim, make_reading):
    facts = [Metric(step=10, split="train", name="flops", value=1000.0), make_reading(flops=1000, extra_flops=50)]
    lab.store.pause(claim, facts, lab.checkpoint(10))

    assert lab.store.spent(lab.study_id).flops == 1050


def test_a_trial_that_waits_has_spent_what_it_had_at_its_rung_though_it_pauses_between_rows(lab, claim, make_reading):
    row = Metric(step=9, split="train", name="flops", value=make_reading().flops - 7)
    lab.store.pause(claim, [row, make_reading()], lab.checkpoint(10))

    assert lab.store.spent(lab.study_id).flops == make_reading().flops


def test_a_trial_that_starts_over_has_come_to_no_rung(lab, paused, make_promotion, make_reading):
    lab.store.promote(lab.study_id, make_promotion())
    again = lab.claim(lab.worker())

    lab.store.start_over(again, "its file is gone")

    assert lab.store.readings(paused.trial_id) == []
    lab.store.commit(again, [make_reading()], lab.checkpoint(10))
    assert lab.store.readings(paused.trial_id) == [make_reading()]


def test_a_resumed_attempt_rewrites_a_reading(lab, paused, make_promotion, make_reading):
    """Of a trial that was promoted without its checkpoint."""
    lab.store.promote(lab.study_id, make_promotion())
    again = lab.claim(lab.worker())

    lab.store.commit(again, [make_reading()], lab.checkpoint(10))

    assert lab.sql("SELECT rung, epoch FROM gl_rungs") == [(0, 2)]


def test_checkpoints_are_taken_from_paused_trials_only(lab, make_promotion, make_reading):
    lab.enqueue(0, 1, 2, 3)
    worker = lab.worker()
    for number in (0, 1, 2):
        lab.store.pause(lab.claim(worker), [make_reading()], lab.checkpoint(number))
    lab.store.promote(lab.study_id, make_promotion(1))

    assert lab.store.paused_checkpoints(lab.study_id) == {0: lab.checkpoint(0), 2: lab.checkpoint(2)}
    assert lab.store.take_checkpoints(lab.study_id, [0, 1, 3]) == [(0, lab.checkpoint(0))]
    assert lab.store.take_checkpoints(lab.study_id, [0]) == []

    lab.store.promote(lab.study_id, make_promotion(0))
    checkpoints = [lab.claim(worker).checkpoint for _ in range(2)]
    assert checkpoints == [None, lab.checkpoint(1)]


def test_a_tally_tells_counts_and_promotions_of_one_study(lab, paused, make_promotion):
    lab.store.promote(lab.study_id, make_promotion())
    lab.enqueue(1)

    tally = lab.store.tally(lab.study_id)

    assert (tally.n_trials, tally.counts[TrialState.QUEUED], tally.n_promotions) == (2, 2, 1)
    assert lab.store.tally(lab.add_study("other")).n_promotions == 0
