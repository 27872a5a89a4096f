"""A copy of a SQLite database while workers write to it.

The file alone is not the database: what was written last waits in a log beside it. SQLite's own copying reads both
as they are at one moment, and keeps no writer waiting.
"""

import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from growlab.errors import StorageError, UsageError
from growlab.files import whole_file
from growlab.storage.database import Database


def back_up(database: Database, target: Path) -> int:
    """Copy all of a database into the new file `target` and return its bytes. The file appears whole or not at all.

    Raises UsageError for a target that is there and for a server's database, StorageError when the disk refuses.
    """
    if database.engine.dialect.name != "sqlite":
        command = shlex.join(["pg_dump", "--format=custom", f"--file={target}", _without_password(database.engine.url)])
        raise UsageError(f"growlab backs up files of SQLite; a PostgreSQL server has its own way: {command}")
    if os.path.lexists(target):
        raise UsageError(f"{target} is there already; give another file, or remove it first")
    try:
        with whole_file(target) as beside:
            _copy(database, beside)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}") from None
    return target.stat().st_size


def _copy(database: Database, target: Path) -> None:
    """Copy a database into a file in WAL mode, as a study's is, and with no file beside it that belongs to it."""
    with database.explaining(), database.engine.connect() as connection, closing(sqlite3.connect(target)) as copy:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)
        try:
            source.backup(copy)
        except sqlite3.Error as error:
            raise StorageError(f"{database.shown}: cannot be copied into {target.parent}: {error}") from None


def _without_password(url: URL) -> str:
    query = {key: value for key, value in url.query.items() if "password" not in key.lower()}
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return shown.render_as_string()
