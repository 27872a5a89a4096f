"""What a report asks of a whole study, in either database: growths, losses that rose, workers."""

from dataclasses import fields, replace

import pytest

from growlab.records import Metric, TrialState
from growlab.storage import TrialRow


def losses(split, values):
    return [Metric(step=10 * at, split=split, name="loss", value=value) for at, value in enumerate(values, start=1)]


def test_growths_are_counted_by_step_and_not_by_unit(lab, event):
    lab.enqueue(0, 1)
    two_units = [event, replace(event, position=3), replace(event, step=300)]
    lab.store.finish(lab.claim(lab.worker()), lab.result(), two_units, [])

    assert lab.store.n_growths(lab.study_id) == {0: 2}


def test_losses_are_read_of_trials_that_rose_above_their_best_or_are_open(lab):
    lab.enqueue(0, 1, 2)
    worker = lab.worker()
    for best in (1.4, 1.49):
        facts = [*losses("val", [1.6, best, 1.5]), *losses("train", [1.6, 1.3, 1.0]), *losses("test", [9.0])]
        lab.store.finish(lab.claim(worker), lab.result(best_val_loss=best), facts, [])
    lab.store.commit(lab.claim(worker), losses("val", [3.0, float("nan")]), lab.checkpoint(20))

    assert lab.store.risen_losses(lab.study_id, 0.05) == {
        0: {"val": {10: 1.6, 20: 1.4, 30: 1.5}, "train": {10: 1.6, 20: 1.3, 30: 1.0}},
        2: {"val": {10: 3.0}, "train": {}},
    }


def test_a_worker_is_told_with_what_it_holds_and_since_when_it_is_silent(lab):
    lab.enqueue(0, 1)
    first, second, _ = lab.worker("first"), lab.worker("second"), lab.worker("of another study")
    lab.store.finish(lab.claim(first), lab.result(), [], [])
    lab.store.end_worker(first)
    claim = lab.claim(second)
    lab.store.commit(claim, [Metric(step=5, split="train", name="tokens_per_s", value=1234.0)], lab.checkpoint(5))
    lab.store.beat(claim, step=7)

    gone, there = lab.store.workers(lab.study_id)

    assert (gone.name, gone.trial, gone.n_attempts, gone.is_heard) == ("first", None, 1, False)
    assert (there.name, there.trial, there.step, there.tokens_per_s) == ("second", 1, 7, 1234.0)
    assert there.is_heard
    assert (there.lease_left_s or 0.0) > 0

    lab.sql("UPDATE gl_workers SET heartbeat_at = heartbeat_at - 900")
    assert not lab.store.workers(lab.study_id)[1].is_heard


@pytest.mark.parametrize("steps", [100, None])
def test_the_newest_accuracy_is_that_of_the_end_or_of_whatever_is_known(lab, steps):
    lab.enqueue(0)
    score = [Metric(step=step, split="val", name="accuracy", value=step / 100) for step in (50, 100)]
    lab.store.finish(lab.claim(lab.worker()), lab.result(), score, [])
    lab.sql("UPDATE gl_trials SET steps = :steps", steps=steps)

    assert lab.store.trial(lab.study_id, 0).newest_accuracy == 1.0


def test_a_seed_is_read_of_a_spec_and_of_no_damaged_one(lab):
    lab.enqueue(0, 1, 2)
    lab.overwrite("spec", '{"seed": "x", "budget": 3}', 1)
    lab.overwrite("spec", "[]", 2)

    sound, *damaged = lab.store.trials(lab.study_id)

    assert sound.seed == sound.spec.seed
    assert sound.state is TrialState.QUEUED
    assert [trial.seed for trial in damaged] == [None] * 2


def test_a_budget_is_read_of_a_paused_trial_and_of_no_damaged_one(lab):
    lab.enqueue(0, 1, 2)
    lab.sql("UPDATE gl_trials SET state = 'paused' WHERE number > 0")
    lab.overwrite("spec", "[]", 2)

    queued, paused, damaged = lab.store.trials(lab.study_id)

    assert paused.paused_budget == paused.spec.budget.amount
    assert (queued.paused_budget, damaged.paused_budget) == (None, None)


def test_a_trial_that_was_read_has_a_value_in_every_field(lab):
    lab.enqueue(0)

    [trial] = lab.store.trials(lab.study_id)

    assert vars(trial).keys() == {field.name for field in fields(TrialRow)}
