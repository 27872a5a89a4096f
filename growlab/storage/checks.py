"""Which values a column may have, changed by a migration.

SQLite can change a check in a copy of the table only. The copy is made of the table's own definition, and remembers
which ids were ever given.
"""

from alembic import op


def replace_check(table: str, column: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    """Let a column have the values `after`, and no others."""
    if op.get_bind().dialect.name == "sqlite":
        _copy(table, _one_of(column, before), _one_of(column, after))
        return
    name = op.f(f"ck_{table}_{column}")
    op.drop_constraint(name, table)
    op.create_check_constraint(name, table, _one_of(column, after))


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _copy(table: str, before: str, after: str) -> None:
    """Replace a table by a copy that says `after` where its definition says `before`; foreign keys are off meanwhile.

    As sqlite.org/lang_altertable.html has it, section 7; other tables refer to the new one then.
    """
    execute = op.get_bind().exec_driver_sql
    made, indexes = f"{table}_checked", "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
    [definition] = execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).one()
    of_indexes = [sql for (sql,) in execute(indexes, (table,)) if sql]  # a key's own has none
    given = execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).scalar()
    assert before in definition, definition
    head, columns = definition.replace(before, after).split("(", 1)
    execute(f"{head.replace(table, made)}({columns}")
    execute(f"INSERT INTO {made} SELECT * FROM {table}")
    execute(f"DROP TABLE {table}")
    execute(f"ALTER TABLE {made} RENAME TO {table}")
    for sql in of_indexes:
        execute(sql)
    execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    if given is not None:
        execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, given))
