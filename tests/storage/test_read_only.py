"""Databases that this user may only read: nothing is written to them, and nobody who writes is overlooked."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from growlab.errors import StorageError
from growlab.storage import Store

NOBODY = 65534


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without the privileges of root, who may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(NOBODY)
    except OSError:
        pytest.skip("this container does not let root become another user")
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that others can reach, as pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="growlab-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def path(folder, make_study) -> Path:
    path = folder / "growlab.db"
    with closing(Store.open(f"sqlite:///{path}", create=True)) as store:
        store.create_study(make_study("nightly"))
    return path


def _close(path: Path) -> None:
    for file in path.parent.iterdir():
        file.chmod(0o444)
    path.parent.chmod(0o555)


def _open_again(path: Path) -> None:
    path.parent.chmod(0o755)
    for file in path.parent.iterdir():
        file.chmod(0o644)


def _names(path: Path) -> list[str]:
    with closing(Store.open(f"sqlite:///{path}")) as store:
        return [each.name for each in store.studies()]


@pytest.mark.parametrize("mode", [0o444, 0o644])
def test_what_may_only_be_read_is_read(path, mode):
    _close(path)
    path.chmod(mode)

    with _as_nobody():
        assert _names(path) == ["nightly"]

    assert [file.name for file in path.parent.iterdir()] == ["growlab.db"]


def test_what_may_only_be_read_is_not_written(path, make_study):
    _close(path)

    refusal = "attempt to write a readonly database"
    with _as_nobody(), closing(Store.open(f"sqlite:///{path}")) as store, pytest.raises(StorageError, match=refusal):
        store.create_study(make_study("weekly"))


def test_a_reader_sees_what_somebody_with_more_rights_writes_later(path, make_study):
    _close(path)
    with _as_nobody():
        reader = Store.open(f"sqlite:///{path}")
        before = len(reader.studies())
    _open_again(path)
    with closing(reader), closing(Store.open(f"sqlite:///{path}")) as writer:
        writer.create_study(make_study("weekly"))
        _close(path)

        with _as_nobody():
            assert (before, len(reader.studies())) == (1, 2)


def test_a_log_that_cannot_be_brought_in_is_not_passed_over(path, make_study):
    url = f"sqlite:///{path}"
    copy = path.with_name("copy.db")
    with closing(Store.open(url)) as writer:
        writer.create_study(make_study("weekly"))
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    _close(path)

    with _as_nobody(), pytest.raises(StorageError, match=r"copy\.db-wal beside it may hold .* growlab db backup FILE"):
        _names(copy)


def test_a_database_without_a_log_needs_none(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    _close(path)

    with _as_nobody():
        assert _names(path) == ["nightly"]
