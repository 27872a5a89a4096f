"""INSERT … ON CONFLICT, which both databases have and each in its own dialect module."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert


def insert_unless_there(connection: Connection, table: Table, row: dict[str, Any]) -> "PostgresqlInsert | SqliteInsert":
    """Make a statement that adds the row, or does nothing where one of the table's keys is taken."""
    return _insert(connection, table).values(row).on_conflict_do_nothing()


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str] = ()) -> None:
    """Add rows, or replace those with the same key (the primary key unless another is named)."""
    if not rows:
        return
    key = key or [column.name for column in table.primary_key]
    statement = _insert(connection, table)
    rest = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=rest), rows)


def _insert(connection: Connection, table: Table) -> "PostgresqlInsert | SqliteInsert":
    """The dialect's statement; the other dialect is not even imported, which would take a report a twentieth."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
