"""The test split on record: once for a trial, and read by nothing that chooses."""

import pytest

from growlab.errors import NotFound
from growlab.records import LOSSES, READ_AT


@pytest.fixture
def trial_id(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    lab.store.finish(claim, lab.result(), [lab.val_loss(10)], [])
    return claim.trial_id


def test_what_it_said_is_recorded_once_with_the_time(lab, trial_id):
    first = lab.store.record_test(trial_id, {"loss": 1.5, "bits_per_byte": 2.25})
    second = lab.store.record_test(trial_id, {"loss": 0.5, "bits_per_byte": 0.25})

    found = {metric.name: metric.value for metric in lab.store.metrics(trial_id, "test")}
    trial = lab.store.trial(lab.study_id, 0)
    assert (first, second) == (True, False)
    assert (found["loss"], found["bits_per_byte"]) == (1.5, 2.25)
    assert trial.ended_at <= found[READ_AT] < trial.ended_at + 600
    assert {metric.step for metric in lab.store.metrics(trial_id, "test")} == {trial.steps}


def test_no_search_and_no_table_of_trials_reads_it(lab, trial_id):
    def seen():
        store, study_id = lab.store, lab.study_id
        return (
            [store.past_trials(study_id, loss) for loss in LOSSES],
            store.trials(study_id),
            store.counts(study_id),
            [summary.best_val_loss for summary in store.studies()],
            store.metrics(trial_id, "val"),
        )

    before = seen()
    lab.store.record_test(trial_id, {"loss": 0.001, "bits_per_byte": 0.001, "accuracy": 1.0})

    assert seen() == before


def test_a_loss_that_is_no_number_is_on_record_too(lab, trial_id):
    lab.store.record_test(trial_id, {"loss": float("inf")})

    assert lab.store.record_test(trial_id, {"loss": 1.0}) is False
    assert [metric.value for metric in lab.store.metrics(trial_id, "test", "loss")] == [float("inf")]


def test_of_a_deleted_trial_nothing_is_recorded(lab, trial_id):
    lab.store.delete_study("nightly")

    with pytest.raises(NotFound, match="the trial was deleted"):
        lab.store.record_test(trial_id, {"loss": 1.0})
