"""The one clock: the database's. No worker's own clock ever enters a lease.

    update(trials).values(lease_expires_at=database_now() + lease_s)

UTC seconds since 1970 as a double; no time zone, of the session or of the box, has any part in it.
"""

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class database_now(FunctionElement[float]):  # noqa: N801  (reads as the SQL function that it is)
    """The expression of the time at which a statement runs, not at which its transaction began."""

    type = Double()
    inherit_cache = True


class server_started_at(FunctionElement[float]):  # noqa: N801
    """The time at which the server started, on its own clock; 0 of a file, which has none."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite(_element: database_now, _compiler: SQLCompiler, **_options: Any) -> str:
    # unixepoch('subsec') is NULL before SQLite 3.42
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql(_element: database_now, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(EXTRACT(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(server_started_at, "sqlite")
def _no_server(_element: server_started_at, _compiler: SQLCompiler, **_options: Any) -> str:
    return "0.0"


@compiles(server_started_at, "postgresql")
def _postmaster(_element: server_started_at, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(EXTRACT(epoch FROM pg_postmaster_start_time()) AS DOUBLE PRECISION)"
