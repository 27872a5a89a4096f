"""Opening: what a URL may be, what is said when nothing answers, and that no password is ever part of it."""

import re
import sys
from contextlib import closing

import pytest

from growlab.errors import StorageError
from growlab.packages import install_command
from growlab.storage import Database, Store
from growlab.storage.address import read_address

SECRET = "s3cr3t"


@pytest.fixture
def pragmas(tmp_path):
    with Database.open(f"sqlite:///{tmp_path / 'growlab.db'}", create=True) as database:
        yield lambda name: database.read(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())


def test_a_missing_file_is_not_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    message = r"^no database at sqlite:///growlab\.db; create a study first: growlab study create FILE, or name"
    with pytest.raises(StorageError, match=message):
        Store.open("sqlite:///growlab.db")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_vanishes_is_not_made_again_as_an_empty_one(tmp_path):
    path = tmp_path / "growlab.db"
    database = Database.open(f"sqlite:///{path}", create=True)
    path.unlink()

    with database, pytest.raises(StorageError, match="unable to open database file"):
        database.read(lambda connection: None)

    assert list(tmp_path.iterdir()) == []


def test_a_file_stays_the_same_one_when_the_process_goes_to_another_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = Store.open("sqlite:///my growlab?.db".replace("?", "%3F"), create=True)
    monkeypatch.chdir("elsewhere")

    assert store.studies() == []

    store.close()
    assert (tmp_path / "my growlab?.db").exists()


def test_a_folder_that_does_not_exist_is_not_made(tmp_path):
    with pytest.raises(StorageError, match=r"cannot make a database at sqlite:///.*/nowhere/x\.db: unable to open"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/x.db", create=True)


@pytest.mark.parametrize("create", [False, True])
def test_a_file_of_another_sort_is_refused_and_left_as_it_is(tmp_path, create):
    path = tmp_path / "study.yaml"
    path.write_text("name: nightly\n" * 99)

    with pytest.raises(StorageError, match="file is not a database"):
        Store.open(f"sqlite:///{path}", create=create)

    assert path.read_text() == "name: nightly\n" * 99


def test_sqlite_is_set_up_for_several_writers(pragmas):
    asked = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 2}

    assert {name: pragmas(name) for name in asked} == asked


def test_a_reader_does_not_wait_for_a_writer(lab):
    lab.enqueue(0)
    with Database.open(lab.url) as other, other.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE gl_trials SET strikes = 2")

        assert lab.store.trial(lab.study_id, 0).strikes == 0


def test_postgresql_is_read_committed_and_ends_abandoned_transactions(postgres_url):
    with Database.open(postgres_url) as database:
        show = {
            name: database.read(lambda connection, name=name: connection.exec_driver_sql(f"SHOW {name}").scalar())
            for name in ("transaction_isolation", "idle_in_transaction_session_timeout")
        }

    assert show == {"transaction_isolation": "read committed", "idle_in_transaction_session_timeout": "1min"}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_way_to_write_postgresql_means_psycopg_3(scheme):
    address = read_address(f"{scheme}://user:{SECRET}@host:5433/growlab?sslmode=require")

    assert address.url.drivername == "postgresql+psycopg"
    assert address.shown == "postgresql://user:***@host:5433/growlab?sslmode=require"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "growlab.db",
            r"must be a URL such as sqlite:///growlab.db or postgresql://user@host/growlab, got 'growlab.db'",
        ),
        ("mysql://host/growlab", "no storage on 'mysql'; known: sqlite:///growlab.db"),
        ("sqlite://growlab.db", r"sqlite://growlab.db names no file; write three slashes: sqlite:///growlab.db"),
        ("sqlite://", "a database in memory cannot be shared by a worker's processes; name a file"),
        ("sqlite:///:memory:", "a database in memory"),
        ("sqlite:///growlab.db?mode=ro", "sqlite:///growlab.db takes no options, got mode"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_with_one_that_does(url, message):
    with pytest.raises(StorageError, match=message):
        Store.open(url, create=True)


@pytest.mark.parametrize(
    "url",
    [
        f"user:{SECRET}@host/growlab",
        f"mysql://user:{SECRET}@host/growlab",
        f"postgresql:/user:{SECRET}@host/growlab",
        f"postgresql://user:{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:{SECRET}@127.0.0.1:port/growlab",
        f"postgresql://user:x:{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x@{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x@y:{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x@y/{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x/{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x?{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:x#{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://user:%{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://127.0.0.1:1/growlab?password={SECRET}&user=user",
        f"postgresql://user@127.0.0.1:1/growlab?sslpassword={SECRET}",
        f"postgresql://user@127.0.0.1:1/growlab?nonsense=1&password={SECRET}",
    ],
)
def test_no_message_holds_the_password(url):
    with pytest.raises(StorageError) as refusal:
        Store.open(url)

    assert SECRET not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_server_that_does_not_answer_is_one_line():
    message = r"^postgresql://user:\*\*\*@127\.0\.0\.1:1/growlab: .*[Cc]onnection refused"
    with pytest.raises(StorageError, match=message):
        Store.open(f"postgresql://user:{SECRET}@127.0.0.1:1/growlab")


def test_without_psycopg_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)

    command = re.escape(install_command("psycopg"))
    with pytest.raises(StorageError, match=rf"PostgreSQL needs the driver psycopg \(.*\); run: {command}$"):
        Store.open("postgresql://host/growlab")


def test_an_open_store_shows_its_url_without_the_password(postgres_url):
    with closing(Store.open(postgres_url.replace("postgres@", f"postgres:{SECRET}@"))) as store:
        assert "postgres:***@" in store.url
