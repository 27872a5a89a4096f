"""An engine for either database, with the settings that the lease protocol stands on."""

import json
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from growlab.errors import StorageError
from growlab.storage.address import Address
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
    """Nothing is connected yet. Raises StorageError when the driver is not installed."""
    common: dict[str, Any] = {
        "json_serializer": partial(json.dumps, allow_nan=False),  # NaN is no JSON, and PostgreSQL knows it
        "json_deserializer": read_json,
        "pool_size": 1,  # what a process keeps open; a fleet is many processes and a server has 100 places
        "max_overflow": 15,
    }
    if address.path is not None:
        engine = create_engine(address.url, connect_args={"timeout": BUSY_TIMEOUT_S}, **common)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            address.url,
            isolation_level="READ COMMITTED",  # what claim and fence are written for, whatever the server's default
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **_KEEPALIVE, **address.url.query},
            **common,
        )
    except ImportError as error:  # psycopg, or the libpq that it needs
        words = str(error).partition("\n")[0]
        raise StorageError(
            f"PostgreSQL needs the driver psycopg ({words}); run: pip install 'growlab[postgres]'"
        ) from None
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin by itself, and too late: at the first write
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA synchronous = {SQLITE_SYNCHRONOUS}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails at once, without waiting, if another wrote in between:
    # so writers queue up before they read. Readers in WAL mode wait for nobody.
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _set_up_postgresql(connection: Any, _record: object) -> None:
    connection.execute(_IDLE_IN_TRANSACTION)
    connection.commit()
