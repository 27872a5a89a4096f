"""The schema: made once however many start together, never changed unasked, a stranger to Optuna's tables."""

import multiprocessing
from pathlib import Path

import alembic.config
import pytest
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from growlab.errors import SchemaError
from growlab.resources import carried
from growlab.storage import Database, Store, check_schema, current_revision, ensure_schema, head_revision, upgrade
from growlab.storage.indexes import metadata
from growlab.storage.schema import VERSION_TABLE, exclusive

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(storage_url):
    with Database.open(storage_url) as database:
        yield database


@pytest.fixture
def empty(empty_url):
    with Database.open(empty_url, create=True) as database:
        yield database


@pytest.fixture
def old(old_url):
    with Database.open(old_url) as database:
        yield database


@pytest.fixture
def set_revision(database):
    """Makes the database say that it has this schema; it says the truth again afterwards."""

    def set_to(revision: str) -> None:
        statement = text(f"UPDATE {VERSION_TABLE} SET version_num = :revision")
        database.write(lambda connection: connection.execute(statement, {"revision": revision}))

    yield set_to
    set_to(head_revision())


def tables_of(database: Database) -> set[str]:
    return set(database.read(lambda connection: inspect(connection).get_table_names())) - {"sqlite_sequence"}


def conditions(connection: Connection) -> dict[str, object]:
    """What alembic does not compare: checks, what deletion does, which rows an index holds."""
    inspector = inspect(connection)
    kinds = (inspector.get_check_constraints, inspector.get_foreign_keys, inspector.get_indexes)
    return {name: [sorted(map(_in_words, kind(name))) for kind in kinds] for name in metadata.tables}


def _in_words(reflected: dict[str, object]) -> str:
    options = reflected.get("dialect_options", {})
    return str({**reflected, "dialect_options": {key: str(value) for key, value in options.items()}})


def differences(connection: Connection) -> list[object]:
    """Between the tables that are there and those of the models, as alembic sees them."""
    ours = {"include_name": lambda name, kind, _: kind != "table" or name.startswith("gl_"), "compare_type": True}
    return compare_metadata(MigrationContext.configure(connection, opts=ours), metadata)


def test_models_and_migrations_describe_the_same_tables(database):
    assert database.read(differences) == []


def test_models_and_migrations_have_the_same_conditions(empty):
    empty.write(metadata.create_all)
    of_models = empty.read(conditions)
    empty.write(metadata.drop_all)

    ensure_schema(empty)

    assert empty.read(conditions) == of_models


def test_an_upgraded_database_is_as_one_that_is_made_today(old):
    upgrade(old)
    upgraded = old.read(differences), old.read(conditions)

    old.write(metadata.drop_all)
    old.write(metadata.create_all)

    assert upgraded == ([], old.read(conditions))


def test_processes_that_start_together_on_an_empty_database_make_one_schema(empty_url):
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["growlab.storage", "alembic.command", "psycopg"])
    processes = [start.Process(target=Store.open, args=(empty_url,), kwargs={"create": True}) for _ in range(8)]

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 8
    Store.open(empty_url).close()


def test_making_a_schema_twice_changes_nothing(empty):
    assert current_revision(empty) is None
    ensure_schema(empty)
    ensure_schema(empty)

    assert current_revision(empty) == head_revision()
    assert tables_of(empty) == {*metadata.tables, VERSION_TABLE}


def test_a_database_without_our_tables_is_not_opened(empty_url, empty):
    with pytest.raises(SchemaError, match="has no growlab tables; create a study first: growlab study create FILE"):
        Store.open(empty_url)

    assert tables_of(empty) == set()


@pytest.mark.parametrize("create", [False, True])
def test_an_older_schema_is_refused_and_left_alone(storage_url, database, set_revision, create):
    set_revision("0000")

    with pytest.raises(SchemaError) as refusal:
        Store.open(storage_url, create=create)

    place = f"--storage {database.shown}"
    assert str(refusal.value) == (
        f"{database.label} has schema 0000, this growlab needs {head_revision()}; "
        f"back it up (growlab db backup FILE {place}), then run: growlab db upgrade {place}"
    )
    assert current_revision(database) == "0000"


@pytest.mark.parametrize("open_it", [check_schema, ensure_schema, upgrade])
def test_a_newer_schema_is_refused_and_left_alone(database, set_revision, open_it):
    set_revision("9999")
    words = f"has schema 9999, this growlab knows only {head_revision()}; install a newer growlab"

    with pytest.raises(SchemaError, match=words):
        open_it(database)

    assert current_revision(database) == "9999"


def test_upgrade_brings_an_empty_database_to_the_head(empty):
    upgrade(empty)

    check_schema(empty)


def test_tables_of_optuna_in_the_same_database_are_not_touched(empty):
    """Its version table is alembic's default one, and it too has a table of studies and one of trials."""
    for statement in (
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('v3.2.0.a')",
        "CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT)",
        "INSERT INTO studies VALUES (1, 'of optuna')",
    ):
        empty.write(lambda connection, statement=statement: connection.execute(text(statement)))

    ensure_schema(empty)

    assert tables_of(empty) == {*metadata.tables, VERSION_TABLE, "alembic_version", "studies"}
    theirs = text("SELECT version_num, study_name FROM alembic_version, studies")
    assert empty.read(lambda connection: connection.execute(theirs).all()) == [("v3.2.0.a", "of optuna")]


def test_a_migration_that_rebuilds_a_table_keeps_what_refers_to_it(lab):
    """SQLite alters by copying and dropping, and dropping a table of parents deletes the children."""
    lab.enqueue(0)
    lab.store.commit(lab.claim(lab.worker()), [lab.val_loss(1)], lab.checkpoint(1))

    for nullable in (True, False):
        with exclusive(lab.database) as connection:
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("gl_trials") as trials:
                trials.alter_column("layout", nullable=nullable)

    assert lab.count("gl_metrics") == 1
    assert lab.sql("SELECT layout FROM gl_trials") == [("d=8 attn mlp",)]


def test_a_migration_that_fails_leaves_nothing_behind(empty):
    def half_of_it() -> None:
        with exclusive(empty) as connection:
            connection.execute(text("CREATE TABLE gl_half (id INTEGER)"))
            raise ValueError("the other half is missing")

    with pytest.raises(ValueError, match="the other half"):
        half_of_it()

    assert tables_of(empty) == set()


def test_the_alembic_command_works_in_a_checkout(empty_url, empty, monkeypatch):
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setenv("GROWLAB_STORAGE", empty_url)

    alembic.config.main(["upgrade", "head"])
    alembic.config.main(["check"])
    check_schema(empty)
    alembic.config.main(["downgrade", "base"])

    assert tables_of(empty) == {VERSION_TABLE}


def test_the_newest_migration_is_the_head_that_alembic_sees():
    assert head_revision() == ScriptDirectory(str(carried("alembic"))).get_current_head()


def test_the_folder_of_migrations_does_not_hide_the_library():
    assert not (CHECKOUT / "alembic" / "__init__.py").exists()
