"""The schema's version: made once under a lock, compared at every other start, raised only when asked.

Several workers that start on an empty database all come here at once; one makes the tables, the
others wait and find them made. alembic itself is loaded only when something is to be made.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Connection, column, inspect, select, table, text

from growlab.errors import SchemaError
from growlab.resources import carried
from growlab.storage.database import Database
from growlab.storage.faults import NO_PATIENCE, Patience
from growlab.suggest import command

VERSION_TABLE = "growlab_alembic_version"
_LOCK_KEY = 0x67726F776C6162  # 'growlab': everybody who changes the schema of a PostgreSQL database asks for it
_ALEMBIC = threading.Lock()  # alembic.context is one for the whole process


def ensure_schema(database: Database) -> None:
    """Make all tables in a database that has none of ours. It never upgrades: SchemaError for another version."""
    if database.read(read_revision) is None:
        with exclusive(database) as connection:
            if read_revision(connection) is None:
                migrate(connection)
    check_schema(database)


def check_schema(database: Database, patience: Patience = NO_PATIENCE) -> None:
    """Refuse, with a SchemaError that says what to do, another schema than this growlab was written for."""
    have, need = database.read(read_revision, patience), head_revision()
    if have is None:
        create_first = command("study create", "FILE", options=database.options)
        raise SchemaError(f"{database.label} has no growlab tables; create a study first: {create_first}")
    _refuse_newer(database.label, have)
    if have != need:
        raise SchemaError(
            f"{database.label} has schema {have}, this growlab needs {need}; "
            f"back it up ({command('db backup', 'FILE', options=database.options)}), "
            f"then run: {command('db upgrade', options=database.options)}"
        )


def upgrade(database: Database) -> None:
    """Bring an older schema, or an empty database, to this growlab's. Raises SchemaError for a newer one."""
    with exclusive(database) as connection:
        _refuse_newer(database.label, read_revision(connection) or "")
        migrate(connection)


def current_revision(database: Database) -> str | None:
    """Read the revision of the schema, such as '0001'; None where growlab has no tables yet."""
    return database.read(read_revision)


@cache
def head_revision() -> str:
    """Read the newest revision off file names: every command asks, and alembic takes 0.2 s to load."""
    return max(path.name[:4] for path in (carried("alembic") / "versions").glob("[0-9]*.py"))


def read_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return revision


@contextmanager
def exclusive(database: Database) -> Iterator[Connection]:
    """Begin a transaction that no other change of the schema runs beside; all of it happens, or nothing."""
    sqlite = database.engine.dialect.name == "sqlite"
    with database.explaining(), database.engine.connect() as connection:
        if sqlite:  # to alter a table is to copy and drop it there, and dropping would delete what refers to it
            _enforce_foreign_keys(connection, False)
        try:
            with connection.begin():  # BEGIN IMMEDIATE is SQLite's lock
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
                yield connection
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise AssertionError("the migration left rows that refer to nothing; it was rolled back")
        finally:
            if sqlite:
                _enforce_foreign_keys(connection, True)


def migrate(connection: Connection) -> None:
    """Run the missing migrations inside the caller's transaction."""
    from alembic import command, config

    settings = config.Config()
    settings.set_main_option("script_location", str(carried("alembic")).replace("%", "%%"))
    settings.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(settings, "head")


def _enforce_foreign_keys(connection: Connection, on: bool) -> None:
    """Switch foreign keys past SQLAlchemy, which would begin a transaction first.

    Inside one the pragma does nothing.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")


def _refuse_newer(label: str, have: str) -> None:
    need = head_revision()
    if have > need:  # revisions are numbers of four digits
        raise SchemaError(f"{label} has schema {have}, this growlab knows only {need}; install a newer growlab")
