"""The recorder of a run: facts wait for the commit point, and stay if it fails."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest

from growlab.errors import DatabaseAway, LeaseLost
from growlab.records import EndReason, TrialProgress, TrialState
from growlab.storage import LeasedRecorder, Patience, engine

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
def begun():
    return []


@pytest.fixture
def record_under(seen, begun):
    def make(lab, claim):
        on_begin = lambda step, note: begun.append((step, note))  # noqa: E731
        return LeasedRecorder(lab.store, claim, on_begin=on_begin, on_progress=seen.append)

    return make


@pytest.fixture
def recorder(lab, claim, record_under):
    return record_under(lab, claim)


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


def test_a_pause_writes_all_that_waits_and_gives_the_trial_back(lab, recorder, make_reading):
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))
    recorder.record(make_reading(step=2))

    recorder.pause(lab.checkpoint(2))

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, lab.store.readings(trial.id)) == (TrialState.PAUSED, [make_reading(step=2)])
    assert lab.store.artifacts(trial.id) == [lab.checkpoint(2)]


def test_facts_outlive_a_pause_that_failed(lab, claim, recorder, make_reading):
    """They are another attempt's to write by then; but this one must not have lost them to a fault that passed."""
    recorder.record(make_reading())
    with pytest.raises(AssertionError, match="model"):
        recorder.pause(replace(lab.checkpoint(1), kind="model"))

    recorder.pause(lab.checkpoint(1))

    assert lab.store.readings(claim.trial_id) == [make_reading()]


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


def test_a_resumed_run_finds_the_checkpoint_of_the_one_before(lab, claim, recorder, record_under):
    assert recorder.checkpoint() is None
    recorder.commit(lab.checkpoint(1))
    lab.store.release(claim, EndReason.STOPPED)

    resumed = record_under(lab, lab.claim(lab.worker("gpu1")))

    assert resumed.checkpoint() == lab.checkpoint(1)


def test_a_checkpoint_that_cannot_be_used_is_forgotten(lab, recorder):
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))

    recorder.start_over("step-1: sha256 differs")

    assert (lab.count("gl_metrics"), lab.count("gl_artifacts")) == (0, 0)


def test_where_an_attempt_begins_is_told_with_the_reason_why_not_at_its_checkpoint(recorder, begun):
    recorder.start_over("step-1: sha256 differs")

    recorder.began(0)

    assert begun == [(0, "step-1: sha256 differs")]


def test_a_run_that_lost_its_lease_hears_of_it_at_the_commit_point(lab, claim, recorder):
    lab.expire(claim)
    lab.claim(lab.worker("gpu1"))
    recorder.record(lab.val_loss(1))

    with pytest.raises(LeaseLost):
        recorder.commit(lab.checkpoint(1))
    with pytest.raises(LeaseLost):
        recorder.finish(lab.result(), [])

    assert lab.count("gl_metrics") == 0


# ---- while the database is away --------------------------------------------------------------------------------


@pytest.fixture
def away(sqlite_url, new_lab, record_under, monkeypatch):
    """A recorder whose database somebody else holds until `comes_back`. SQLite's own waiting is cut short."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.01)
    monkeypatch.setattr("growlab.storage.recorder.PROMPT_S", 0.01)
    lab = new_lab(sqlite_url)
    lab.enqueue(0)
    recorder = record_under(lab, lab.claim(lab.worker()))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield SimpleNamespace(lab=lab, recorder=recorder, comes_back=lambda: holder.execute("ROLLBACK"))


def test_training_goes_on_while_a_commit_waits_for_the_database(away):
    recorder, lab = away.recorder, away.lab
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))
    recorder.record(lab.val_loss(2))
    while_away = recorder.settled()

    away.comes_back()

    assert not while_away
    assert recorder.settled(within_s=None)
    assert lab.sql("SELECT step FROM gl_metrics") == [(1,)]
    recorder.commit(lab.checkpoint(2))
    assert recorder.settled(within_s=None)
    assert lab.sql("SELECT step FROM gl_metrics ORDER BY step") == [(1,), (2,)]


def test_a_result_waits_for_the_commit_before_it(away):
    recorder, lab = away.recorder, away.lab
    recorder.record(lab.val_loss(1))
    recorder.commit(lab.checkpoint(1))
    recorder.record(lab.val_loss(2))
    away.comes_back()

    recorder.finish(lab.result(), [])

    assert lab.state() == "completed"
    assert lab.sql("SELECT step FROM gl_metrics ORDER BY step") == [(1,), (2,)]


def test_facts_that_wait_are_bounded(away, monkeypatch):
    """The fact too many waits until those before it are written."""
    monkeypatch.setattr("growlab.storage.recorder.MOST_FACTS", 3)
    recorder, lab = away.recorder, away.lab
    recorder.record(lab.val_loss(1))
    recorder.record(lab.val_loss(2))
    recorder.commit(lab.checkpoint(2))
    away.comes_back()

    recorder.record(lab.val_loss(3))

    assert lab.sql("SELECT step FROM gl_metrics ORDER BY step") == [(1,), (2,)]


def test_a_database_that_stays_away_ends_the_run_in_words(away):
    recorder, lab = away.recorder, away.lab
    lab.store._patience = Patience(0.05)
    recorder.record(lab.val_loss(1))

    def commit() -> None:  # says so at once or when it is asked: that depends on the machine
        recorder.commit(lab.checkpoint(1))
        recorder.settled(within_s=None)

    with pytest.raises(DatabaseAway, match="database is locked"):
        commit()

    away.comes_back()
    recorder.finish(lab.result(), [])
    assert lab.count("gl_metrics") == 1
