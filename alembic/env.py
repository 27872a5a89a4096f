"""Run by alembic for every command: for growlab itself with a connection in `config.attributes`, and by hand.

By hand, in a checkout: alembic revision --autogenerate, alembic check, … on the database of GROWLAB_STORAGE.
Optuna's tables may live in the same database: only ours are looked at.
"""

import os

from alembic import context, util
from sqlalchemy import Connection

from growlab.storage.database import Database
from growlab.storage.indexes import metadata
from growlab.storage.schema import VERSION_TABLE, exclusive


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or (name or "").startswith("gl_")


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        include_name=is_ours,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise util.CommandError("growlab's migrations need a database to run on; leave out --sql")
if connection := context.config.attributes.get("connection"):
    run(connection)
else:
    with (
        Database.open(os.environ.get("GROWLAB_STORAGE", "sqlite:///growlab.db"), create=True) as database,
        exclusive(database) as connection,
    ):
        run(connection)
