"""SQLite files that this user may only read.

In WAL mode a reader makes two files beside the database, so one that may not write into the folder cannot open it.
Where nothing waits in the log the file alone is the database, and SQLite reads it when it is told that nobody
writes. That is believed for one transaction: somebody with more rights may begin to write at any time.
"""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.pool import ConnectionPoolEntry

from growlab.errors import StorageError

_MAY_NOT_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class Snapshot(sqlite3.Connection):
    """A connection that reads a file as if it could not change."""


def connect_sqlite(
    path: Path, dialect: Dialect, record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> sqlite3.Connection:
    """Connect as SQLAlchemy would; as a Snapshot where this user may only read and nobody writes.

    Raises StorageError for a log that holds what the file does not, and this user may not open.
    """
    [url] = arguments
    connection: sqlite3.Connection = sqlite3.connect(url, **options)
    try:
        connection.execute("PRAGMA schema_version")  # reads the file
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in _MAY_NOT_WRITE or not path.exists():
            raise
        _require_no_log(path)
        connection = Snapshot(f"{url}&immutable=1", **options)
    return connection


def forget_snapshot(connection: object, record: ConnectionPoolEntry) -> None:
    """Close a Snapshot when its transaction has ended."""
    if isinstance(connection, Snapshot):
        record.invalidate()


def _require_no_log(path: Path) -> None:
    """Refuse a log without a writer, who keeps both files there: a log alone is what a crash leaves, or a copy."""
    log, index = (path.with_name(f"{path.name}-{what}") for what in ("wal", "shm"))
    if index.exists() or (log.exists() and log.stat().st_size):
        raise StorageError(
            f"{path} may only be read by this user, and {log.name} beside it may hold what is not in it yet; "
            "ask whoever may write there for a copy: growlab db backup FILE"
        )
