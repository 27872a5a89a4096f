"""After a silence of all workers none takes another's trial before that one had the time to be heard again."""

import time

import pytest

from growlab.errors import LeaseLost

LONG_S = 1e9  # longer than any server has been up


@pytest.fixture
def silence(lab):
    """All of these claims' workers, and everybody else, were not heard for so long."""

    def silence(*claims, for_s):
        for claim in claims:
            lab.sql(
                "UPDATE gl_trials SET lease_expires_at = lease_expires_at - :by WHERE id = :id",
                by=for_s,
                id=claim.trial_id,
            )
        lab.sql("UPDATE gl_workers SET heartbeat_at = heartbeat_at - :by", by=for_s)

    return silence


def ended_silences(lab):
    return [at for (at,) in lab.sql("SELECT silence_ended_at FROM gl_workers") if at is not None]


def test_who_comes_back_first_leaves_the_others_their_trials(lab, silence):
    lab.enqueue(0)
    late = lab.claim(lab.worker("late"), lease_s=60)
    silence(late, for_s=3600)

    early = lab.worker("early")

    assert lab.claim(early) is None
    lab.store.beat(late)
    assert len(lab.store.attempts(late.trial_id)) == 1


def test_a_trial_whose_worker_stays_silent_is_taken_one_lease_after_the_others_are_heard_again(lab, silence):
    lab.enqueue(0)
    gone = lab.claim(lab.worker("gone"), lease_s=0.5)
    silence(gone, for_s=3600)
    early = lab.worker("early")

    while (taken := lab.claim(early, lease_s=60)) is None:
        time.sleep(0.02)

    [ended_at] = ended_silences(lab)
    assert lab.store.attempts(taken.trial_id)[-1].started_at >= ended_at + 0.5


def test_a_worker_that_is_silent_alone_is_not_waited_for(lab, silence):
    lab.enqueue(0, 1)
    alone = lab.claim(lab.worker("alone"))
    other = lab.claim(lab.worker("other"))
    silence(alone, other, for_s=3600)
    lab.store.beat(other)
    lab.sql("UPDATE gl_workers SET silence_ended_at = NULL")  # that was long ago …
    lab.sql("UPDATE gl_trials SET lease_s = 0")  # … and the server has been there for long, whoever started it

    taken = lab.claim(lab.worker("third"))

    assert taken.number == 0
    with pytest.raises(LeaseLost, match="worker alone no longer owns trial 0"):
        lab.store.beat(alone)


@pytest.mark.parametrize(("gap_s", "is_silence"), [(1700, False), (1900, True)])
def test_a_silence_is_longer_than_half_the_shortest_lease_that_is_held(lab, silence, gap_s, is_silence):
    lab.enqueue(0, 1, 2)
    for lease_s in (LONG_S, 3600, LONG_S):
        lab.claim(lab.worker(), lease_s=lease_s)
    silence(for_s=gap_s)

    lab.worker("first to be heard")

    assert bool(ended_silences(lab)) is is_silence


@pytest.mark.parametrize(("lease_s", "is_silence"), [(60, True), (LONG_S, False)])
def test_a_worker_whose_beats_are_rare_ends_no_silence_by_beating_in_time(lab, silence, lease_s, is_silence):
    lab.enqueue(0, 1)
    lab.claim(lab.worker(), lease_s=60)
    beats = lab.claim(lab.worker(), lease_s=lease_s)
    silence(for_s=3600)

    lab.store.beat(beats)

    assert bool(ended_silences(lab)) is is_silence


def test_where_nothing_is_trained_no_silence_ends(lab, silence):
    lab.worker("gpu0")
    silence(for_s=3600)

    lab.worker("gpu1")

    assert ended_silences(lab) == []


def test_a_server_that_has_just_started_grants_every_lease_once_more(lab):
    """Only a server starts: a file is there as soon as it can be read."""
    lab.enqueue(0)
    claim = lab.claim(lab.worker("gpu0"), lease_s=LONG_S)
    lab.sql("UPDATE gl_trials SET lease_expires_at = 1")

    taken = lab.claim(lab.worker("gpu1"))

    assert (taken is None) is lab.url.startswith("postgresql")
    if taken is None:
        lab.store.beat(claim)
