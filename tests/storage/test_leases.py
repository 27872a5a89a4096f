"""Leases and their fencing token: two workers interleaved by hand, and what the slow one may no longer do."""

import time

import pytest

from growlab.errors import LeaseLost
from growlab.records import EndReason, TrialState

WAYS_TO_WRITE = {
    "beat": lambda lab, claim: lab.store.beat(claim),
    "commit": lambda lab, claim: lab.store.commit(claim, [lab.val_loss(9)], lab.checkpoint(9)),
    "finish": lambda lab, claim: lab.store.finish(claim, lab.result(), [lab.val_loss(9)], []),
    "start over": lambda lab, claim: lab.store.start_over(claim, "checkpoint unreadable"),
    "stop": lambda lab, claim: lab.store.release(claim, EndReason.STOPPED),
    "crash": lambda lab, claim: lab.store.release(claim, EndReason.CRASHED, "Segmentation fault"),
}


@pytest.fixture(params=WAYS_TO_WRITE)
def write(request, lab):
    return lambda claim: WAYS_TO_WRITE[request.param](lab, claim)


def rows(lab):
    """All that a worker may write, except heartbeats."""
    of_trials = "SELECT state, epoch, strikes, ended_at, val_loss, error FROM gl_trials"
    of_attempts = "SELECT epoch, ended_at, end_reason, note FROM gl_attempts ORDER BY epoch"
    return [
        *(lab.sql(query) for query in (of_trials, of_attempts)),
        *(lab.sql(f"SELECT * FROM {table}") for table in ("gl_metrics", "gl_artifacts", "gl_growth_events")),
    ]


def test_a_trial_whose_worker_is_no_longer_heard_goes_to_the_next(lab):
    lab.enqueue(0)
    first = lab.claim(lab.worker("gpu0"))
    lab.store.commit(first, [], lab.checkpoint(10))
    lab.expire(first)

    second = lab.claim(lab.worker("gpu1"))

    assert (second.trial_id, second.epoch, second.checkpoint) == (first.trial_id, 2, lab.checkpoint(10))
    lost, running = lab.store.attempts(first.trial_id)
    assert (lost.worker, lost.end_reason, running.worker, running.end_reason) == ("gpu0", EndReason.LOST, "gpu1", None)
    assert lost.ended_at is not None
    assert lab.store.trial(lab.study_id, 0).strikes == 0  # to lose a worker is no fault of its trial


def test_a_lost_attempt_ran_until_it_was_last_heard_not_until_somebody_noticed(lab):
    lab.enqueue(0)
    first = lab.claim(lab.worker("gpu0"))
    lab.expire(first, ago_s=8 * 3600)
    lab.sql("UPDATE gl_attempts SET started_at = heartbeat_at - 10")

    lab.claim(lab.worker("gpu1"))

    lost, running = lab.store.attempt_times(lab.study_id)
    assert lost[1] - lost[0] == pytest.approx(10, abs=1e-3)
    assert running[0] - lost[1] > 8 * 3600


def test_who_lost_the_lease_can_write_nothing(lab, write):
    lab.enqueue(0)
    slow = lab.claim(lab.worker("gpu0"))
    lab.expire(slow, ago_s=120)
    fast = lab.claim(lab.worker("gpu1"))
    lab.store.commit(fast, [lab.val_loss(5)], lab.checkpoint(5))
    before = rows(lab)

    message = r"^worker gpu0 no longer owns trial 0 \(lease expired 12\d s ago\); its result is dropped$"
    with pytest.raises(LeaseLost, match=message):
        write(slow)

    assert rows(lab) == before
    lab.store.beat(fast)


def test_who_lost_the_lease_can_write_nothing_after_the_trial_ended(lab, write):
    lab.enqueue(0)
    slow = lab.claim(lab.worker("gpu0"))
    lab.expire(slow)
    fast = lab.claim(lab.worker("gpu1"))
    lab.store.finish(fast, lab.result(), [], [])
    before = rows(lab)

    with pytest.raises(LeaseLost, match="worker gpu0 no longer owns trial 0"):
        write(slow)

    assert rows(lab) == before


def test_after_giving_a_trial_back_its_worker_can_write_nothing(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    lab.store.release(claim, EndReason.STOPPED)
    before = rows(lab)

    for way in ("beat", "commit", "finish", "start over", "crash"):
        with pytest.raises(LeaseLost, match=r"worker gpu0 no longer owns trial 0 \(the attempt is stopped\)"):
            WAYS_TO_WRITE[way](lab, claim)

    assert rows(lab) == before


def test_a_lease_that_ran_out_is_renewed_while_nobody_else_took_the_trial(lab, write):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    lab.expire(claim)

    write(claim)

    assert lab.store.attempts(claim.trial_id)[0].end_reason is not EndReason.LOST


@pytest.mark.parametrize("way", ["beat", "commit", "start over"])
def test_every_sign_of_life_makes_the_lease_longer(lab, way):
    lab.enqueue(0)
    claim = lab.claim(lab.worker(), lease_s=60)
    lab.expire(claim)
    began = time.monotonic()

    WAYS_TO_WRITE[way](lab, claim)

    attempt = lab.store.attempts(claim.trial_id)[0]
    assert lab.has_lease_of(60, since=began)
    assert attempt.heartbeat_at >= attempt.started_at
    assert lab.claim(lab.worker("gpu1")) is None


def test_a_stopped_trial_is_queued_again_without_a_strike(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())

    lab.store.release(claim, EndReason.STOPPED, "SIGTERM")

    trial = lab.store.trial(lab.study_id, 0)
    attempt = lab.store.attempts(trial.id)[0]
    assert (trial.state, trial.strikes, trial.lease_left_s) == (TrialState.QUEUED, 0, None)
    assert (attempt.end_reason, attempt.note) == (EndReason.STOPPED, "SIGTERM")
    assert lab.claim(lab.worker("gpu1")).epoch == 2


def test_the_third_crash_without_a_new_checkpoint_fails_the_trial(lab):
    lab.enqueue(0)
    worker = lab.worker()
    for crash in ("first", "second", "CUDA error: out of memory"):
        lab.store.release(lab.claim(worker), EndReason.CRASHED, crash)

    trial = lab.store.trial(lab.study_id, 0)
    assert trial.state is TrialState.FAILED
    assert trial.error == "crashed 3 times without a new checkpoint; last: CUDA error: out of memory"
    assert trial.ended_at is not None
    assert lab.claim(worker) is None


def lose(lab, *, times, step=0):
    """One worker after another takes the trial, comes to `step` and is lost."""
    for at in range(times):
        claim = lab.claim(lab.worker(f"gpu{at}"))
        if step:
            lab.store.beat(claim, step)
        lab.expire(claim)


def test_ten_lost_attempts_in_a_row_that_come_no_further_quarantine_a_trial_and_the_next_one_is_claimed(lab):
    lab.enqueue(0, 1)
    lose(lab, times=1, step=98)
    lose(lab, times=9, step=98)
    still_tried = lab.claim(lab.worker("gpu9"))
    lab.expire(still_tried)

    claim = lab.claim(lab.worker())

    assert (still_tried.number, claim.number) == (0, 1)
    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.strikes) == (TrialState.FAILED, 0)
    assert trial.error == (
        "quarantined: 10 workers in a row were lost with it (the last: gpu9), and none came beyond step 98; "
        "perhaps it takes more memory than these machines have"
    )
    assert [attempt.end_reason for attempt in lab.store.attempts(trial.id)] == [EndReason.LOST] * 11


@pytest.mark.parametrize("sign", ["a beat", "a commit", "a stop"])
def test_a_worker_that_comes_further_or_gives_the_trial_back_ends_the_row_of_lost_ones(lab, sign):
    lab.enqueue(0)
    lose(lab, times=1, step=98)
    lose(lab, times=9)
    claim = lab.claim(lab.worker())
    {
        "a beat": lambda: lab.store.beat(claim, 99),
        "a commit": lambda: lab.store.commit(claim, [], lab.checkpoint(99)),
        "a stop": lambda: lab.store.release(claim, EndReason.STOPPED),
    }[sign]()
    if sign != "a stop":
        lab.expire(claim)

    lose(lab, times=9)

    assert lab.claim(lab.worker()) is not None


def test_ten_workers_that_are_lost_before_anything_is_heard_of_the_trial_are_enough(lab):
    lab.enqueue(0)
    lose(lab, times=10)

    assert lab.claim(lab.worker()) is None
    assert "none came beyond step 0" in lab.store.trial(lab.study_id, 0).error


def test_a_new_checkpoint_forgives_earlier_crashes(lab):
    lab.enqueue(0)
    worker = lab.worker()
    for _ in range(2):
        lab.store.release(lab.claim(worker), EndReason.CRASHED)
    claim = lab.claim(worker)
    lab.store.commit(claim, [], lab.checkpoint(10))

    lab.store.release(claim, EndReason.CRASHED)

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.strikes) == (TrialState.QUEUED, 1)


@pytest.mark.parametrize("way", ["finish", "stop", "crash"])
def test_an_end_may_be_told_twice(lab, way):
    """The first answer may get lost with the connection after the database has done its work."""
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    WAYS_TO_WRITE[way](lab, claim)
    before = rows(lab)

    WAYS_TO_WRITE[way](lab, claim)

    assert rows(lab) == before


def test_a_claim_on_a_deleted_study_fits_no_later_trial(lab, write):
    """Not even one that a database would number the same."""
    lab.enqueue(0)
    sleeper = lab.claim(lab.worker("gpu0"))
    lab.expire(sleeper)
    lab.store.delete_study("nightly")
    lab.study_id = lab.add_study("nightly")
    lab.enqueue(0)
    lab.claim(lab.worker("gpu1"))
    before = rows(lab)

    with pytest.raises(LeaseLost, match=r"trial 0 is gone \(its study was deleted\)"):
        write(sleeper)

    assert rows(lab) == before
