"""Faults that pass by themselves are waited out; the others are told in one line."""

import sqlite3
import threading
from contextlib import closing, contextmanager

import psycopg
import pytest
from sqlalchemy import event, make_url

from growlab.errors import DatabaseAway, StorageError
from growlab.storage import Database, Patience, Store, engine


@pytest.fixture
def kill_connections(postgres_url):
    """Ends every other session on the database, as a restart of the server does."""

    def kill(*_):
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        with psycopg.connect(postgres_url) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")

    return kill


@pytest.fixture
def postgres_lab(postgres_url, new_lab):
    lab = new_lab(postgres_url)
    lab.enqueue(0)
    return lab


@pytest.fixture
def impatient_lab(sqlite_url, new_lab, monkeypatch):
    """SQLite's own waiting is cut short, so that it is ours that is tested."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.01)
    lab = new_lab(sqlite_url)
    lab.enqueue(0)
    return lab


@contextmanager
def locked(url: str, *, for_s: float):
    """Somebody else writes for so long."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(for_s, other.rollback)
        timer.start()
        try:
            yield other
        finally:
            timer.cancel()
            timer.join()


def test_a_restart_of_the_server_between_two_calls_is_not_noticed(postgres_lab, kill_connections):
    lab = postgres_lab
    claim = lab.claim(lab.worker())
    for call in (
        lambda: lab.store.beat(claim),
        lambda: lab.store.commit(claim, [lab.val_loss(1)], lab.checkpoint(1)),
        lambda: lab.store.metrics(claim.trial_id),
        lambda: lab.store.finish(claim, lab.result(), [], []),
        lambda: lab.claim(lab.worker("gpu1")),
    ):
        kill_connections()
        call()

    assert lab.state() == "completed"


def test_a_connection_that_dies_before_the_commit_costs_nothing(postgres_lab, kill_connections):
    lab = postgres_lab
    claim = lab.claim(lab.worker())
    event.listen(lab.store._database.engine, "commit", kill_connections, once=True)

    lab.store.commit(claim, [lab.val_loss(1)], lab.checkpoint(1))

    assert lab.store.metrics(claim.trial_id) == [lab.val_loss(1)]
    assert lab.store.artifacts(claim.trial_id) == [lab.checkpoint(1)]


def lose_the_next_answer(lab, monkeypatch):
    """The database commits, and nobody hears of it."""
    dialect = lab.store._database.engine.dialect
    really_commit = dialect.do_commit

    def commit_and_lose_the_answer(connection):
        really_commit(connection)
        monkeypatch.setattr(dialect, "do_commit", really_commit)
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(dialect, "do_commit", commit_and_lose_the_answer)


def test_an_answer_that_is_lost_after_the_commit_costs_nothing(postgres_lab, monkeypatch):
    """The worker cannot know that the trial is finished already, and tells it again."""
    lab = postgres_lab
    claim = lab.claim(lab.worker())
    lose_the_next_answer(lab, monkeypatch)

    lab.store.finish(claim, lab.result(), [lab.val_loss(1)], [])

    assert lab.state() == "completed"
    assert lab.store.metrics(claim.trial_id) == [lab.val_loss(1)]


def test_a_claim_whose_answer_is_lost_is_given_once_more(postgres_lab, monkeypatch):
    lab = postgres_lab
    lab.enqueue(1)
    worker = lab.worker()
    lose_the_next_answer(lab, monkeypatch)

    claim = lab.claim(worker)

    assert (claim.number, claim.epoch) == (0, 1)
    assert [len(lab.store.attempts(trial.id)) for trial in lab.store.trials(lab.study_id)] == [1, 0]


def test_a_locked_file_is_waited_for(impatient_lab):
    lab = impatient_lab
    claim = lab.claim(lab.worker())

    with locked(lab.url, for_s=0.3):
        lab.store.commit(claim, [lab.val_loss(1)], lab.checkpoint(1))

    assert lab.store.metrics(claim.trial_id) == [lab.val_loss(1)]


def test_a_new_file_that_another_opener_is_at_is_waited_for(tmp_path):
    """To switch a file to WAL while another writes fails at once: SQLite does not wait there, however it is told to."""
    url = f"sqlite:///{tmp_path / 'growlab.db'}"

    with locked(url, for_s=0.3), Database.open(url, create=True) as database:
        mode = database.read(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar())

    assert mode == "wal"


def test_who_waits_is_told_why_and_may_give_up(impatient_lab):
    lab = impatient_lab
    reasons = []

    def goes_on(why):
        reasons.append(why)
        return len(reasons) < 3

    with (
        locked(lab.url, for_s=600),
        Store.open(lab.url, patience=Patience(1e6, goes_on)) as store,
        pytest.raises(DatabaseAway, match=r"^sqlite:///.*growlab.db: database is locked$"),
    ):
        store.register_worker(name="gpu1", device="cpu", versions={})

    assert reasons == ["database is locked"] * 3


def test_a_file_that_was_deleted_or_replaced_takes_nothing_more(sqlite_url, new_lab, tmp_path):
    lab = new_lab(sqlite_url)
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    path = tmp_path / "growlab.db"
    path.rename(tmp_path / "elsewhere.db")

    for _ in range(2):
        with pytest.raises(StorageError, match=r"growlab\.db was deleted, moved or replaced while it was in use; .*"):
            lab.store.beat(claim)
        path.touch()  # another file of that name is not it


@pytest.mark.parametrize(("user", "database"), [("nobody_here", "postgres"), ("postgres", "no_such_database")])
def test_a_server_that_refuses_is_not_waited_for(postgres_url, user, database):
    url = make_url(postgres_url).set(username=user, database=database)

    with pytest.raises(StorageError, match="does not exist") as refusal:
        Store.open(url.render_as_string(hide_password=False), patience=Patience(1e6))

    assert not isinstance(refusal.value, DatabaseAway)


def test_a_fault_of_the_world_is_one_line(postgres_lab):
    lab = postgres_lab
    lab.database.write(
        lambda connection: connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    )

    with pytest.raises(StorageError, match=r"^postgresql://.*: cannot execute UPDATE in a read-only transaction$"):
        lab.database.write(lambda connection: connection.exec_driver_sql("UPDATE gl_trials SET strikes = 1"))
