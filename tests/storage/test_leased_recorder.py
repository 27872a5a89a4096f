"""The recorder of a run: facts wait for the commit point, and stay if it fails."""

from dataclasses import replace

import pytest

from growlab.errors import LeaseLost
from growlab.records import EndReason, TrialProgress
from growlab.storage import LeasedRecorder

PROGRESS = TrialProgress(
    step=1,
    progress=0.1,
    depth=2,
    phase="train",
    train_loss=2.0,
    val_loss=None,
    tau=None,
    kappa=None,
    tokens_per_s=1e5,
    remaining_s=60.0,
)


@pytest.fixture
def seen():
    return []


@pytest.fixture
def claim(lab):
    lab.enqueue(0)
    return lab.claim(lab.worker())


@pytest.fixture
def recorder(lab, claim, seen):
    return LeasedRecorder(lab.store, claim, seen.append)


def test_facts_are_written_at_the_commit_point_and_not_before(lab, recorder):
    recorder.record(lab.val_loss(1))
    before = lab.count("gl_metrics")

    recorder.commit(lab.checkpoint(1))

    assert (before, lab.count("gl_metrics")) == (0, 1)


def test_each_fact_is_written_once(lab, recorder):
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))
    lab.sql("DELETE FROM gl_metrics")
    recorder.record(lab.val_loss(2))

    recorder.commit(lab.checkpoint(2))

    assert lab.sql("SELECT step FROM gl_metrics") == [(2,)]


def test_facts_outlive_a_commit_that_failed(lab, recorder):
    recorder.record(lab.val_loss(1))
    with pytest.raises(AssertionError, match="model"):
        recorder.commit(replace(lab.checkpoint(1), kind="model"))

    recorder.commit(lab.checkpoint(1))

    assert lab.count("gl_metrics") == 1


def test_finish_writes_what_was_recorded_since_the_last_commit(lab, recorder):
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))
    recorder.record(lab.val_loss(2))

    recorder.finish(lab.result(), [])

    assert lab.sql("SELECT step FROM gl_metrics ORDER BY step") == [(1,), (2,)]
    assert lab.state() == "completed"


def test_progress_is_shown_and_never_stored(lab, recorder, seen):
    recorder.progress(PROGRESS)

    assert seen == [PROGRESS]
    assert lab.count("gl_metrics") == 0


def test_a_resumed_run_finds_the_checkpoint_of_the_one_before(lab, claim, recorder, seen):
    assert recorder.checkpoint() is None
    recorder.commit(lab.checkpoint(1))
    lab.store.release(claim, EndReason.STOPPED)

    resumed = LeasedRecorder(lab.store, lab.claim(lab.worker("gpu1")), seen.append)

    assert resumed.checkpoint() == lab.checkpoint(1)


def test_a_checkpoint_that_cannot_be_used_is_forgotten(lab, recorder):
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))

    recorder.start_over("step-1: sha256 differs")

    assert (lab.count("gl_metrics"), lab.count("gl_artifacts")) == (0, 0)


def test_a_run_that_lost_its_lease_hears_of_it_at_the_commit_point(lab, claim, recorder):
    lab.expire(claim)
    lab.claim(lab.worker("gpu1"))
    recorder.record(lab.val_loss(1))

    with pytest.raises(LeaseLost):
        recorder.commit(lab.checkpoint(1))
    with pytest.raises(LeaseLost):
        recorder.finish(lab.result(), [])

    assert lab.count("gl_metrics") == 0
