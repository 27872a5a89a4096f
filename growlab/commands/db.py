"""growlab db"""

from pathlib import Path
from typing import Annotated

import typer

from growlab import amounts
from growlab.commands.options import Storage, in_home, say
from growlab.defaults import STORAGE_DEFAULT
from growlab.escapes import visible

app = typer.Typer(help="The database: its schema, and copies of it.", no_args_is_help=True)


@app.command()
def current(storage: Storage = STORAGE_DEFAULT) -> None:
    """Print the schema's version."""
    from growlab.storage import Database, current_revision

    with Database.open(storage) as database:
        print(visible(current_revision(database) or "none"))


@app.command()
def check(storage: Storage = STORAGE_DEFAULT) -> None:
    """Say whether this growlab can use the database; exit 1 if not."""
    from growlab.storage import Database, check_schema, head_revision

    with Database.open(storage) as database:
        check_schema(database)
        say(f"{database.shown} has schema {head_revision()}, as this growlab needs")


@app.command()
def upgrade(storage: Storage = STORAGE_DEFAULT) -> None:
    """Bring the schema to this growlab's version. Back the database up first: growlab db backup FILE."""
    from growlab.storage import Database, current_revision, head_revision
    from growlab.storage import upgrade as upgrade_schema

    with Database.open(storage, create=True) as database:
        before = current_revision(database)
        upgrade_schema(database)
        say(f"{database.shown}: schema {before or 'none'} → {head_revision()}")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.", callback=in_home)],
    storage: Storage = STORAGE_DEFAULT,
) -> None:
    """Copy a SQLite database whole, also while workers write to it.

    Its file alone may lack what is new, which waits in a log beside it. The copy is a database like the original: put
    it in its place, or name it with --storage.
    """
    from growlab.storage import Database, back_up

    with Database.open(storage) as database:
        n_bytes = back_up(database, file)
        say(f"wrote {file}: {amounts.mib(n_bytes)}, all of {database.shown}")
