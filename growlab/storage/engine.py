"""An engine for either database, with the settings that the lease protocol stands on."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from growlab.errors import StorageError
from growlab.escapes import first_line
from growlab.packages import install_command
from growlab.storage.address import Address
from growlab.storage.read_only import connect_sqlite, forget_snapshot
from growlab.storage.values import read_json

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
READS = "growlab_reads"  # execution option of a connection that will not write

# FULL and not NORMAL: once a checkpoint's row is committed the previous checkpoint's file is deleted,
# so a commit that a power cut takes back would leave neither. It costs one fsync per commit.
SQLITE_SYNCHRONOUS = "FULL"

# A server ends a transaction that its stopped or cut-off worker left open, so that the rows it locked are free again.
_IDLE_IN_TRANSACTION = "SET idle_in_transaction_session_timeout = '60s'"
# A worker notices within about a minute that its server is gone, and not after the two hours of TCP's default.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}


def make_engine(address: Address) -> Engine:
    """Make an engine that is not connected yet. Raises StorageError when the driver is not installed."""
    common: dict[str, Any] = {
        "json_serializer": partial(json.dumps, allow_nan=False),  # NaN is no JSON, and PostgreSQL knows it
        "json_deserializer": read_json,
        "pool_size": 1,  # what a process keeps open; a fleet is many processes and a server has 100 places
        "max_overflow": 15,
    }
    if address.path is not None:
        engine = create_engine(address.url, connect_args={"timeout": BUSY_TIMEOUT_S}, **common)
        event.listen(engine, "do_connect", partial(connect_sqlite, address.path))
        event.listen(engine, "checkin", forget_snapshot)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        _refuse_vanished(engine, address.path, address.shown)
        return engine
    try:
        engine = create_engine(
            address.url,
            isolation_level="READ COMMITTED",  # what claim and fence are written for, whatever the server's default
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **_KEEPALIVE, **address.url.query},
            **common,
        )
    except ImportError as error:  # psycopg, or the libpq that it needs
        reason = first_line(str(error))
        raise StorageError(
            f"PostgreSQL needs the driver psycopg ({reason}); run: {install_command('psycopg')}"
        ) from None
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin by itself, and too late: at the first write
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {SQLITE_SYNCHRONOUS}")


def _refuse_vanished(engine: Engine, path: Path, shown: str) -> None:
    """Raise StorageError in place of a transaction on another file than the first: nobody would ever read it."""
    first: list[tuple[int, int] | None] = []

    def remember(_connection: object, _record: object) -> None:
        if not first:
            first.append(_identity(path))

    def compare(_connection: object, _record: object, _proxy: object) -> None:
        if first[0] != _identity(path):
            raise StorageError(
                f"{shown} was deleted, moved or replaced while it was in use; nothing more can be stored. "
                "Bring the file back, or create the study again"
            )

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once, without waiting, if another wrote in between:
    # so writers queue up before they read. Readers in WAL mode wait for nobody.
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _set_up_postgresql(connection: Any, _record: object) -> None:
    connection.execute(_IDLE_IN_TRANSACTION)
    connection.commit()
