"""A copy of a database: whole while somebody writes, and a database like the original."""

import sqlite3
from contextlib import closing

import pytest

from growlab.errors import StorageError, UsageError
from growlab.storage import Database, Store, back_up


@pytest.fixture
def url(tmp_path, make_study):
    """A database that somebody has open and wrote into: what is new waits in its log."""
    url = f"sqlite:///{tmp_path / 'growlab.db'}"
    with closing(Store.open(url, create=True)) as store:
        store.create_study(make_study("nightly"))
    with closing(Store.open(url)) as writer:
        writer.create_study(make_study("weekly"))
        assert (tmp_path / "growlab.db-wal").stat().st_size > 0
        yield url


def _names(path):
    with closing(Store.open(f"sqlite:///{path}")) as store:
        return [each.name for each in store.studies()]


def _back_up(url, target):
    with Database.open(url) as database:
        return back_up(database, target)


def test_a_copy_holds_what_waits_in_the_log_and_stands_alone(url, tmp_path):
    target = tmp_path / "kept" / "copy.db"

    n_bytes = _back_up(url, target)

    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    assert n_bytes == target.stat().st_size
    assert _names(target) == ["nightly", "weekly"]


def test_a_copy_is_a_database_that_workers_can_use(url, tmp_path, make_study):
    target = tmp_path / "copy.db"
    _back_up(url, target)

    with closing(Store.open(f"sqlite:///{target}")) as restored:
        restored.create_study(make_study("later"))
    with closing(sqlite3.connect(target)) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()

    assert (_names(target), mode) == (["nightly", "weekly", "later"], ("wal",))


def test_a_copy_is_made_in_the_middle_of_a_transaction_and_without_it(url, tmp_path):
    with Database.open(url) as other, other.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM gl_studies")

        _back_up(url, tmp_path / "copy.db")

    assert _names(tmp_path / "copy.db") == ["nightly", "weekly"]


def test_an_older_schema_is_copied_too(url, tmp_path):
    with Database.open(url) as database:
        database.write(
            lambda connection: connection.exec_driver_sql("UPDATE growlab_alembic_version SET version_num = '0001'")
        )

    assert _back_up(url, tmp_path / "copy.db") > 0


def test_nothing_is_overwritten(url, tmp_path):
    target = tmp_path / "copy.db"
    target.write_text("mine")

    with pytest.raises(UsageError, match=r"copy\.db is there already; give another file"):
        _back_up(url, target)

    assert target.read_text() == "mine"


def test_a_copy_that_fails_leaves_nothing(url, tmp_path):
    (tmp_path / "file").touch()
    before = set(tmp_path.iterdir())

    with pytest.raises(StorageError, match=r"cannot write .*copy\.db: "):
        _back_up(url, tmp_path / "file" / "copy.db")
    with pytest.raises(StorageError, match="database disk image is malformed"):
        _back_up(_damaged(tmp_path), tmp_path / "copy.db")

    assert set(tmp_path.iterdir()) - before == {tmp_path / "damaged.db"}


def _damaged(tmp_path):
    """A file that begins as a database does and ends too soon."""
    path = tmp_path / "damaged.db"
    path.write_bytes((tmp_path / "growlab.db").read_bytes()[:6000])
    return f"sqlite:///{path}"


def test_a_server_is_copied_by_its_own_command_which_holds_no_password(tmp_path):
    url = "postgresql://me:s3cr3t@host:5432/growlab?sslpassword=s3cr3t&application_name=a"

    with pytest.raises(UsageError) as refusal:
        _back_up(url, tmp_path / "copy.db")

    assert str(refusal.value).endswith(
        f": pg_dump --format=custom --file={tmp_path}/copy.db 'postgresql://me@host:5432/growlab?application_name=a'"
    )
