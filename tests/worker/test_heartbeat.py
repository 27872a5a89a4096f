"""Beats go on beside everything else, tell how far a trial is, and say what is wrong with the database."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from growlab.errors import DatabaseAway, LeaseLost
from growlab.records import EndReason
from growlab.storage import Claim, Store
from growlab.worker.heartbeat import Heartbeat

WaitUntil = Callable[[Callable[[], object]], None]
PATIENCE_S = 60.0  # far longer than a test waits for what it waits for


@pytest.fixture
def claim(store: Store, enqueue: Callable[[], None]) -> Claim:
    enqueue()
    study_id = store.study("tiny").id
    claim = store.claim_next(study_id, store.register_worker(name="gpu0", device="cpu", versions={}), lease_s=0.1)
    assert claim is not None
    return claim


@pytest.fixture
def start(store: Store, claim: Claim) -> Iterator[Callable[..., Heartbeat]]:
    hearts: list[Heartbeat] = []

    def start(patience_s: float = PATIENCE_S) -> Heartbeat:
        hearts.append(Heartbeat(store, claim, patience_s))
        return hearts[-1]

    yield start
    for heart in hearts:
        heart.end()


def test_a_beat_tells_how_far_the_trial_is(
    store: Store, claim: Claim, start: Callable[..., Heartbeat], wait_until: WaitUntil
) -> None:
    heart = start()
    heart.step = 98

    wait_until(lambda: store.attempts(claim.trial_id)[0].step == 98)

    assert heart.fault is None


def test_a_lost_lease_ends_the_beats(
    store: Store, claim: Claim, start: Callable[..., Heartbeat], wait_until: WaitUntil
) -> None:
    store.release(claim, EndReason.STOPPED)

    heart = start()

    wait_until(lambda: heart.fault)
    assert isinstance(heart.fault, LeaseLost)


def test_a_database_that_is_away_is_told_and_beaten_to_again(
    impatient_sqlite: None, store: Store, claim: Claim, start: Callable[..., Heartbeat], wait_until: WaitUntil
) -> None:
    with closing(sqlite3.connect("growlab.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        heart = start()
        wait_until(lambda: heart.away)
        why = heart.away
        other.execute("ROLLBACK")

    wait_until(lambda: not heart.away)

    assert why.endswith("database is locked")
    assert heart.fault is None


def test_patience_ends(
    impatient_sqlite: None, store: Store, claim: Claim, start: Callable[..., Heartbeat], wait_until: WaitUntil
) -> None:
    with closing(sqlite3.connect("growlab.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        heart = start(patience_s=0.0)
        wait_until(lambda: heart.fault)

    assert isinstance(heart.fault, DatabaseAway)


def test_what_is_wrong_with_the_database_and_mended_by_no_waiting_is_a_fault(
    store: Store, claim: Claim, start: Callable[..., Heartbeat], wait_until: WaitUntil
) -> None:
    with closing(sqlite3.connect("growlab.db")) as other, other:
        other.execute("DROP TABLE gl_attempts")

    heart = start()

    wait_until(lambda: heart.fault)
    assert not isinstance(heart.fault, DatabaseAway | LeaseLost)
    assert "no such table: gl_attempts" in str(heart.fault)


def test_no_beat_begins_after_the_end(store: Store, claim: Claim, start: Callable[..., Heartbeat]) -> None:
    heart = start()
    heart.end()
    heart.step = 98

    time.sleep(4 * claim.lease_s)

    assert store.attempts(claim.trial_id)[0].step == 0
