"""The database: does it answer, what is it, has it the tables that this growlab needs."""

import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlab import amounts
from growlab.doctor.findings import Finding, found_and_advice
from growlab.doctor.folders import room_in
from growlab.doctor.remedies import remedy
from growlab.errors import StorageError
from growlab.preparation.command_lines import place_options
from growlab.suggest import command

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from growlab.storage import Database
    from growlab.storage.address import Address

_OLDEST_SQLITE = (3, 35)  # RETURNING
_CROWDED = 0.9  # of a server's connections


def check_storage(url: str) -> Iterator[Finding]:
    from growlab.storage.address import read_address

    try:
        address = read_address(url)
    except StorageError as error:
        found, advice = found_and_advice(error)
        yield Finding("storage", "URL", "broken", found, advice or "name a file: --storage sqlite:///growlab.db")
        return
    yield Finding("storage", "URL", "ok", address.shown)
    try:
        yield from _server(url) if address.path is None else _file(url, address, address.path)
    except StorageError as error:
        yield _broken(error, address)


def _broken(error: StorageError, address: "Address") -> Finding:
    found, advice = found_and_advice(error)
    found = found.removeprefix(f"{address.shown}: ")
    return Finding("storage", "connection", "broken", found, advice or remedy(found, address))


# ---- SQLite --------------------------------------------------------------------------------------------------


def _file(url: str, address: "Address", path: Path) -> Iterator[Finding]:
    from growlab.storage import Database

    if not path.parent.is_dir():
        made = f"mkdir -p {shlex.quote(str(path.parent))}"
        yield Finding("storage", "folder", "broken", f"{path.parent} is not there", made)
        return
    yield room_in("storage", "folder", path.parent, "SQLite writes beside its file: make the folder writable")
    if not path.exists():
        makes = f"{command('study create', 'FILE', options=place_options(url))} makes it"
        yield Finding("storage", "file", "warning", f"{path.name} is not there yet", makes)
        return
    with Database.open(url) as database:
        mode = database.read(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar())
        found = f"{path.name}, {amounts.mib(path.stat().st_size)}"
        try:
            database.write(_write_in_vain)
        except StorageError as error:
            yield Finding("storage", "file", "warning", f"{found}; reports and exports work, a worker does not")
            yield _broken(error, address)
        else:
            yield Finding("storage", "file", "ok", f"{found}, writable")
            yield _sqlite(str(mode), url)
        yield _schema(database, url)


def _write_in_vain(connection: "Connection") -> None:
    """Write, and take it back, to fail where a worker's write would.

    The lock alone is given for a read-only file too.
    """
    connection.exec_driver_sql("CREATE TABLE growlab_doctor (id INTEGER)")
    connection.rollback()


def _sqlite(mode: str, url: str) -> Finding:
    import sqlite3

    found = f"{sqlite3.sqlite_version}, journal mode {mode}"
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        advice = "install a Python with a newer SQLite, or use PostgreSQL"
        return Finding("storage", "SQLite", "broken", f"{found}; growlab needs 3.35", advice)
    if mode != "wal":
        advice = f"{command('db upgrade', options=place_options(url))} switches it to wal"
        return Finding("storage", "SQLite", "warning", f"{found}: readers and writers wait for one another", advice)
    return Finding("storage", "SQLite", "ok", found)


# ---- PostgreSQL ----------------------------------------------------------------------------------------------


def _server(url: str) -> Iterator[Finding]:
    from growlab.storage import Database

    with Database.open(url) as database:
        facts = database.read(_server_facts)
        yield _postgresql(facts)
        yield _connections(int(facts["in_use"]), int(facts["max_connections"]))
        yield _clock(facts)
        schema = _schema(database, url)
        yield schema
        if schema.status == "warning" and not facts["may_create"]:
            grant = f"GRANT CREATE ON SCHEMA public TO {facts['user']}"
            yield Finding("schema", "rights", "broken", "this user may not create tables", f"as its owner: {grant}")


def _server_facts(connection: "Connection") -> dict[str, Any]:
    from sqlalchemy import select

    from growlab.storage.clock import database_now

    names = ("server_version", "max_connections", "timezone", "transaction_read_only")
    facts: dict[str, Any] = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names}
    facts["user"] = connection.exec_driver_sql("SELECT quote_ident(current_user)").scalar()
    # since PostgreSQL 15 nobody but its owner may, in the schema that is there from the beginning
    may_create = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
    facts["may_create"] = connection.exec_driver_sql(may_create).scalar()
    facts["in_use"] = connection.exec_driver_sql("SELECT sum(numbackends) FROM pg_stat_database").scalar()
    statement = select(database_now())
    connection.scalar(statement)  # SQLAlchemy compiles it now; the second time is the way there and back alone
    asked_at, began = time.time(), time.perf_counter()
    now = connection.scalar(statement)
    facts["round_trip_s"] = time.perf_counter() - began
    assert now is not None
    facts["ahead_s"] = now - (asked_at + facts["round_trip_s"] / 2)
    return facts


def _postgresql(facts: dict[str, Any]) -> Finding:
    found = f"{facts['server_version']}, {1000 * facts['round_trip_s']:.1f} ms there and back"
    if facts["transaction_read_only"] == "on":
        advice = "name the primary server in --storage, or lift default_transaction_read_only"
        return Finding("storage", "PostgreSQL", "broken", f"{found}; it takes no writes", advice)
    return Finding("storage", "PostgreSQL", "ok", found)


def _connections(in_use: int, most: int) -> Finding:
    """Compare the connections in use with the server's most: a worker keeps one."""
    found = f"{in_use} in use of max_connections {most}"
    if in_use >= _CROWDED * most:
        return Finding("storage", "connections", "warning", found, "raise max_connections, or start fewer workers")
    return Finding("storage", "connections", "ok", found)


def _clock(facts: dict[str, Any]) -> Finding:
    """Compare clocks, for information: leases are counted by the database's clock alone, in UTC."""
    side = "ahead of" if facts["ahead_s"] > 0 else "behind"
    found = f"zone {facts['timezone']}, {abs(facts['ahead_s']):.3f} s {side} this machine; only the server's counts"
    return Finding("storage", "clock", "ok", found)


# ---- both ----------------------------------------------------------------------------------------------------


def _schema(database: "Database", url: str) -> Finding:
    from growlab.storage import current_revision, head_revision

    have, need = current_revision(database), head_revision()
    if have is None:
        makes = f"{command('study create', 'FILE', options=place_options(url))} makes them"
        return Finding("schema", "revision", "warning", f"no growlab tables yet, {need} is needed", makes)
    if have < need:  # revisions are numbers of four digits
        saved = command("db backup", "FILE", options=place_options(url))
        advice = f"back it up ({saved}), then run: {command('db upgrade', options=place_options(url))}"
        return Finding("schema", "revision", "broken", f"{have}, this growlab needs {need}", advice)
    if have > need:
        found = f"{have}, this growlab knows only {need}"
        return Finding("schema", "revision", "broken", found, "install a newer growlab")
    return Finding("schema", "revision", "ok", f"{have}, as this growlab needs")
