"""Time is the database's: UTC seconds, whatever the session's time zone and the box's clock say."""

import time

import pytest
from sqlalchemy import select, text

from growlab.storage import Database
from growlab.storage.clock import database_now


@pytest.fixture
def database(storage_url):
    with Database.open(storage_url) as database:
        yield database


def test_it_is_the_seconds_since_1970_in_utc(database):
    before = time.time()

    now = database.read(lambda connection: connection.scalar(select(database_now())))

    assert before - 0.01 <= now <= time.time() + 0.01  # the database is on this box; SQLite tells milliseconds
    assert isinstance(now, float)


def test_it_goes_on_within_a_transaction(database):
    def twice(connection):
        first = connection.scalar(select(database_now()))
        time.sleep(0.02)
        return connection.scalar(select(database_now())) - first

    began = time.monotonic()
    lasted = database.read(twice)
    assert 0.01 < lasted < time.monotonic() - began + 0.01


def test_a_session_in_another_time_zone_sees_the_same_time(postgres_url):
    def in_tokyo(connection):
        connection.execute(text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))
        return connection.scalar(select(database_now()))

    with Database.open(postgres_url) as database:
        before = time.time()
        assert before - 0.01 <= database.read(in_tokyo) <= time.time() + 0.01


def test_a_worker_whose_own_clock_is_wrong_keeps_its_lease(lab, monkeypatch):
    lab.enqueue(0)
    claim = lab.claim(lab.worker("gpu0"), lease_s=60)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    began = time.monotonic()

    lab.store.beat(claim)

    assert lab.claim(lab.worker("gpu1")) is None
    assert lab.has_lease_of(60, since=began)
