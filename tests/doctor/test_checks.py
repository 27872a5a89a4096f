"""Checks of real databases, folders, caches and packages in every state that they tell apart."""

import hashlib
import os
import re
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import packaging.requirements  # noqa: F401  (loaded before a test empties sys.path)
import psycopg
import pytest
import torch
from sqlalchemy import make_url

from growlab import api
from growlab.data.download import TINY_SHAKESPEARE
from growlab.data.sources import SOURCES
from growlab.doctor.checkup import check_up
from growlab.doctor.findings import Finding, guarded
from growlab.doctor.versions import check_versions
from growlab.packages import install_command
from growlab.storage import Database, Store, engine, head_revision, upgrade

SECRET = "s3cr3t"


@dataclass(frozen=True)
class Checkup:
    by_name: dict[str, Finding]

    def __getitem__(self, name: str) -> Finding:
        return self.by_name[name]

    @property
    def is_broken(self) -> bool:
        return "broken" in {finding.status for finding in self.by_name.values()}


@pytest.fixture
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GROWLAB_CACHE", str(home / "cache"))
    return home / "cache"


@pytest.fixture
def doctor(home: Path, cache: Path) -> Callable[..., Checkup]:
    """What all checks find, by name."""

    def check(
        study: str = "",
        *,
        storage: str = "sqlite:///growlab.db",
        artifacts: Path | None = None,
        plugins: Sequence[Path] = (),
    ) -> Checkup:
        told: list[str] = []
        found = list(check_up(storage, artifacts, study, plugins, told.append))
        assert told == []
        return Checkup({finding.name: finding for finding in found})

    return check


@pytest.fixture
def database(home: Path) -> Path:
    Store.open(f"sqlite:///{home}/growlab.db", create=True).close()
    return home / "growlab.db"


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def installed(folder: Path, name: str, version: str, *requirements: str) -> None:
    """What pip leaves behind, as far as importlib.metadata reads it."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requirements)]
    (about / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


# ---- all checks ------------------------------------------------------------------------------------------------


def test_a_new_folder_is_no_error_and_nothing_is_left_in_it(doctor: Callable, home: Path) -> None:
    before = sorted(home.rglob("*"))

    checkup = doctor()

    assert not checkup.is_broken
    assert checkup["file"].status == "warning"
    assert checkup["file"].advice == "growlab study create FILE makes it"
    assert checkup["artifacts"].found.startswith(f"{home}/growlab-artifacts, ")
    assert checkup["artifacts"].found.endswith("; made at first use")
    assert sorted(home.rglob("*")) == before


def test_a_check_that_fails_itself_is_a_finding_and_the_others_still_run(
    doctor: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(home / "site", "growlab", "0.1.0", "torch >= nonsense")
    monkeypatch.syspath_prepend(home / "site")

    checkup = doctor()

    assert checkup.is_broken
    assert checkup["packages"].found.startswith("could not be checked: InvalidRequirement: ")
    assert {"Python", "CPU", "URL", "artifacts", "tiny-shakespeare"} <= checkup.by_name.keys()


def test_what_a_check_found_before_it_failed_is_kept() -> None:
    def check() -> Iterator[Finding]:
        yield Finding("devices", "CPU", "ok", "8 cores")
        raise OSError("no such\ndevice")

    first, last = guarded("devices", "GPU", check())

    assert first.name == "CPU"
    assert (last.name, last.status, last.found) == ("GPU", "broken", "could not be checked: OSError: no such device")


# ---- versions --------------------------------------------------------------------------------------------------


def test_every_package_of_this_environment_is_new_enough(doctor: Callable) -> None:
    checkup = doctor()

    names = ("Python", "growlab", "torch", "numpy", "optuna", "sqlalchemy", "alembic", "psycopg", "pyarrow")
    assert {checkup[name].status for name in names} == {"ok"}
    assert checkup["torch"].found == torch.__version__


def test_an_old_torch_is_broken_and_its_holes_are_named(
    doctor: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(home / "site", "torch", "2.9.1")
    installed(home / "site", "psycopg", "3.1")
    monkeypatch.syspath_prepend(home / "site")

    checkup = doctor()

    assert checkup.is_broken
    assert checkup["torch"].found == "2.9.1, needs >=2.10 (below: CVE-2025-32434, CVE-2026-24747)"
    assert checkup["torch"].advice == "pip install 'torch>=2.10'"
    assert checkup["psycopg"].status == "warning"
    assert checkup["psycopg"].advice == install_command("psycopg")


def test_missing_optional_packages_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "growlab", "0.1.0", "torch>=2.10")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    found = {each.name: each for each in check_versions()}

    assert found["torch"].status == "broken"
    assert found["datasets"].status == "warning"
    assert found["datasets"].found == "not installed; for corpora of the Hugging Face hub"
    assert found["datasets"].advice == install_command("datasets")


def test_an_old_torch_is_broken_also_where_growlab_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    installed(tmp_path, "torch", "2.9.1+cpu")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    found = {each.name: each for each in check_versions()}

    assert found["torch"].status == "broken"
    assert found["growlab"].advice == f"pip install -e {repository}"


# ---- devices ---------------------------------------------------------------------------------------------------


def test_the_cpu_multiplies(doctor: Callable) -> None:
    assert re.fullmatch(r"[1-9]\d* cores, [\d,.]+ GiB of memory", doctor()["CPU"].found)


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch is built with CUDA")
def test_a_torch_without_cuda_beside_an_nvidia_card_is_said(
    doctor: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(home))

    checkup = doctor()

    assert not checkup.is_broken
    assert checkup["CUDA"].status == "warning"
    assert "is built without CUDA" in checkup["CUDA"].found
    assert checkup["CUDA"].advice.startswith("pip install --force-reinstall ")


@pytest.mark.gpu
def test_a_gpu_multiplies(doctor: Callable) -> None:
    assert torch.cuda.get_device_name(0) in doctor()["cuda:0"].found


# ---- SQLite ----------------------------------------------------------------------------------------------------


def test_a_database_of_this_growlab_is_fine(doctor: Callable, database: Path) -> None:
    checkup = doctor()

    assert not checkup.is_broken
    assert checkup["file"].found == f"growlab.db, {database.stat().st_size / 2**20:.1f} MiB, writable"
    assert checkup["SQLite"].found == f"{sqlite3.sqlite_version}, journal mode wal"
    assert checkup["revision"].found == f"{head_revision()}, as this growlab needs"


@pytest.mark.parametrize(
    ("revision", "found", "advice"),
    [
        (
            "0000",
            f"0000, this growlab needs {head_revision()}",
            "back it up (growlab db backup FILE), then run: growlab db upgrade",
        ),
        ("9999", f"9999, this growlab knows only {head_revision()}", "install a newer growlab"),
    ],
)
def test_another_schema_is_broken(doctor: Callable, database: Path, revision: str, found: str, advice: str) -> None:
    execute(database, f"UPDATE growlab_alembic_version SET version_num = '{revision}'")

    checkup = doctor()

    assert checkup.is_broken
    assert checkup["revision"] == Finding("schema", "revision", "broken", found, advice)


def test_an_empty_database_gets_its_tables_later_and_wal_from_db_upgrade(doctor: Callable, home: Path) -> None:
    (home / "other.db").touch()
    storage = "sqlite:///other.db"

    checkup = doctor(storage=storage)

    assert not checkup.is_broken
    assert checkup["revision"].found == f"no growlab tables yet, {head_revision()} is needed"
    assert checkup["revision"].advice == "growlab study create FILE --storage sqlite:///other.db makes them"
    assert checkup["SQLite"].advice == "growlab db upgrade --storage sqlite:///other.db switches it to wal"
    with Database.open(storage, create=True) as database:
        upgrade(database)
    assert {doctor(storage=storage)[name].status for name in ("SQLite", "revision")} == {"ok"}


def test_a_file_of_another_sort_is_broken(doctor: Callable) -> None:
    checkup = doctor(storage="sqlite:///corpus.txt")

    assert checkup.is_broken
    assert checkup["connection"].found == "file is not a database"
    assert checkup["connection"].advice == "name another file with --storage sqlite:///FILE"


def test_a_database_that_is_locked_for_long_is_broken(
    doctor: Callable, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")

        checkup = doctor()

    assert checkup["connection"].found == "database is locked"
    assert checkup["connection"].advice == f"another process holds it for long: fuser {database}"


def test_looking_at_a_database_does_not_change_it(doctor: Callable, database: Path, home: Path) -> None:
    before, files = database.read_bytes(), sorted(home.iterdir())

    doctor()

    assert database.read_bytes() == before
    assert sorted(home.iterdir()) == files


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_broken(doctor: Callable, database: Path) -> None:
    database.chmod(0o400)

    checkup = doctor()

    assert checkup.is_broken
    assert checkup["connection"].found == "attempt to write a readonly database"
    assert checkup["connection"].advice == f"chmod u+w {database}"
    assert checkup["file"].found.endswith(" MiB; reports and exports work, a worker does not")
    assert checkup["revision"].status == "ok"


def test_a_missing_folder_is_broken_and_not_made(doctor: Callable, home: Path) -> None:
    checkup = doctor(storage="sqlite:///nowhere/growlab.db")

    assert checkup.is_broken
    assert checkup["folder"].advice == f"mkdir -p {home}/nowhere"
    assert not (home / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_broken(doctor: Callable, home: Path) -> None:
    (home / "closed").mkdir(mode=0o500)

    checkup = doctor(storage="sqlite:///closed/growlab.db")

    assert checkup.is_broken
    assert checkup["folder"].found == f"{home}/closed: no file can be made: Permission denied"
    assert checkup["artifacts"].status == "broken"


# ---- PostgreSQL ------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(new_postgres_database: Callable[[], str], postgres_server: str) -> Iterator[str]:
    """The URL of an empty database for a user who may connect to it and make nothing there."""
    url, user = new_postgres_database(), f"growlab_test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'")
        owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # as it is since PostgreSQL 15
        yield make_url(url).set(username=user, password=SECRET).render_as_string(hide_password=False)
        owner.execute(f"DROP ROLE {user}")


def test_a_server_is_described(doctor: Callable, new_postgres_database: Callable[[], str]) -> None:
    url = new_postgres_database()
    Store.open(url, create=True).close()

    checkup = doctor(storage=url)

    assert not checkup.is_broken
    assert re.match(r"\d+\.\d+.*, [\d.]+ ms there and back$", checkup["PostgreSQL"].found)
    assert re.fullmatch(r"[1-9]\d* in use of max_connections \d+", checkup["connections"].found)
    assert re.match(r"zone \S+, \d+\.\d{3} s (ahead of|behind) this machine", checkup["clock"].found)
    assert checkup["revision"].status == "ok"


def test_a_user_who_may_not_create_tables_is_broken_and_its_password_is_not_shown(
    doctor: Callable, stranger: str
) -> None:
    checkup = doctor(storage=stranger)

    user = make_url(stranger).username
    assert checkup.is_broken
    assert checkup["rights"].advice == f"as its owner: GRANT CREATE ON SCHEMA public TO {user}"
    assert f"{user}:***@" in checkup["URL"].found
    assert SECRET not in str(checkup)


def test_a_database_that_takes_no_writes_is_broken(doctor: Callable, new_postgres_database: Callable[[], str]) -> None:
    url = new_postgres_database()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"ALTER DATABASE {make_url(url).database} SET default_transaction_read_only = on")

    assert doctor(storage=url)["PostgreSQL"].found.endswith("; it takes no writes")


def test_a_database_that_the_server_does_not_have_is_named(doctor: Callable, postgres_server: str) -> None:
    missing = make_url(postgres_server).set(database="nosuch").render_as_string(hide_password=False)

    checkup = doctor(storage=missing)

    assert checkup.is_broken
    assert "createdb -h " in checkup["connection"].advice


def test_a_server_that_is_not_there_is_said_at_once(doctor: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waited {seconds} s"))

    checkup = doctor(storage=f"postgresql://user:{SECRET}@127.0.0.1:1/growlab")

    assert checkup.is_broken
    assert "refused" in checkup["connection"].found
    assert checkup["connection"].advice.endswith("see: pg_isready -h 127.0.0.1 -p 1")
    assert SECRET not in str(checkup)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@host/growlab",
        f"user:{SECRET}@host/growlab",
        f"postgresql://user:x@{SECRET}@127.0.0.1:1/growlab",
        f"postgresql://127.0.0.1:1/growlab?password={SECRET}",
    ],
)
def test_no_password_is_printed(doctor: Callable, url: str) -> None:
    checkup = doctor(storage=url)

    assert checkup.is_broken
    assert SECRET not in str(checkup)


def test_a_url_that_makes_no_sense_is_broken_and_the_rest_is_checked(doctor: Callable) -> None:
    checkup = doctor(storage="growlab.db")

    assert checkup.is_broken
    assert checkup["URL"].advice == "name a file: --storage sqlite:///growlab.db"
    assert checkup["artifacts"].advice == "--artifacts DIR names another place"
    assert checkup["cache"].status == "ok"


# ---- folders ---------------------------------------------------------------------------------------------------


def test_folders_that_are_files_are_broken(doctor: Callable, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_CACHE", str(home / "tiny.yaml"))

    checkup = doctor(artifacts=Path("corpus.txt"))

    assert checkup.is_broken
    assert checkup["artifacts"].found == f"{home}/corpus.txt: no file can be made: Not a directory"
    assert checkup["artifacts"].advice == "make it writable, or name another with --artifacts DIR"
    assert checkup["cache"].advice == "make it writable, or name another with GROWLAB_CACHE=DIR"


# ---- data ------------------------------------------------------------------------------------------------------


def test_a_missing_play_is_fetched_later_or_put_there_by_hand(doctor: Callable) -> None:
    play = doctor()["tiny-shakespeare"]

    assert (play.status, play.found) == ("warning", "not in the cache; it is fetched at first use")
    assert f"put the file (1,115,394 bytes, sha256 86c4e6aa9db7…) at {TINY_SHAKESPEARE.path}" in play.advice


def test_a_damaged_play_is_a_warning_and_left_alone(doctor: Callable, cache: Path) -> None:
    TINY_SHAKESPEARE.path.parent.mkdir(parents=True)
    TINY_SHAKESPEARE.path.write_text("<html>login</html>")

    play = doctor()["tiny-shakespeare"]

    assert play.status == "warning"
    assert play.found == f"{TINY_SHAKESPEARE.path} is damaged; it will be fetched again"
    assert TINY_SHAKESPEARE.path.read_text() == "<html>login</html>"


def test_a_play_in_the_cache_is_fine(doctor: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"First Citizen:\nBefore we proceed any further, hear me speak.\n"
    play = replace(TINY_SHAKESPEARE, sha256=hashlib.sha256(text).hexdigest())  # as good, and not to be fetched
    monkeypatch.setattr("growlab.data.download.TINY_SHAKESPEARE", play)
    play.path.parent.mkdir(parents=True)
    play.path.write_bytes(text)

    assert doctor()["tiny-shakespeare"] == Finding("data", "tiny-shakespeare", "ok", "in the cache")


def test_the_embedded_text_is_looked_for_and_not_built(doctor: Callable, cache: Path) -> None:
    assert doctor()["stdlib"].found == "built in some seconds at first use"
    assert not cache.exists()


# ---- a study ---------------------------------------------------------------------------------------------------


def test_the_corpus_of_a_study_file_is_measured(doctor: Callable, home: Path) -> None:
    checkup = doctor("tiny.yaml")

    n_chars = len((home / "corpus.txt").read_text())
    sizes = [int(size.replace(",", "")) for size in re.findall(r"\w+ ([\d,]+)", checkup["tokens"].found)[:3]]
    assert not checkup.is_broken
    assert "recorded when the study is created" in checkup["corpus"].found
    assert sum(sizes) == n_chars
    assert checkup["windows"].found == "train.seq_len 16 fits into each split"


def test_what_of_a_corpus_is_not_read_is_a_warning(doctor: Callable, home: Path) -> None:
    copies = home / "books" / ".ipynb_checkpoints"
    copies.mkdir(parents=True)
    for path in (home / "books" / "A.TXT", copies / "a-checkpoint.txt"):
        path.write_text((home / "corpus.txt").read_text())
    (home / "books.yaml").write_text((home / "tiny.yaml").read_text().replace("corpus.txt", "books"))

    left_out = doctor("books.yaml")["left out"]

    assert left_out.status == "warning"
    assert left_out.found == f"{home / 'books'}: 1 file is not read: .ipynb_checkpoints/ (1)"
    assert left_out.advice.startswith("only names that end in .txt are, and none that is hidden")


def test_a_stored_study_whose_corpus_was_changed_is_broken(doctor: Callable, home: Path) -> None:
    api.create(api.read_study("tiny.yaml"))
    before = doctor("tiny")
    (home / "corpus.txt").write_text("another text\n" * 200)

    after = doctor("tiny")

    assert (before.is_broken, after.is_broken) == (False, True)
    assert "the recorded one" in before["corpus"].found
    assert "is not the corpus that this trial recorded" in after["corpus"].found
    assert after["corpus"].advice.startswith("bring the recorded text back, or make a new study of this one")


def test_a_split_that_holds_no_window_is_broken(doctor: Callable, home: Path) -> None:
    (home / "corpus.txt").write_text("a short text\n" * 9)

    checkup = doctor("tiny.yaml")

    assert checkup.is_broken
    assert checkup["tokens"].status == "ok"
    found = r"corpus.txt: the \w+ split has \d+ tokens, train\.seq_len 16 needs at least 17"
    assert re.search(found, checkup["windows"].found)


def test_a_shipped_study_needs_no_database(doctor: Callable) -> None:
    checkup = doctor("recall", storage="postgresql://127.0.0.1:1/growlab")

    assert checkup["tokens"].found == "made from a seed, without end; vocabulary of 32"


def test_an_unknown_study_names_the_known_ones(doctor: Callable, database: Path) -> None:
    checkup = doctor("recal")

    assert checkup.is_broken
    assert checkup["corpus"].found == "'recal' is neither a file nor a study"
    assert checkup["corpus"].advice.endswith("Did you mean 'recall'?")


def test_a_plugins_source_is_known_where_the_plugin_is_given(
    doctor: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "shout.py").write_text(
        "from growlab.data import register_source\n"
        "@register_source('shout', 'capitals')\n"
        "def read(spec):\n"
        "    return 'A LOUD TEXT. ' * 500\n"
    )
    study = (home / "tiny.yaml").read_text().replace("data: {path: corpus.txt,", "data: {source: shout,")
    (home / "loud.yaml").write_text(study)
    before = dict(SOURCES)
    try:
        without = doctor("loud.yaml")
        given = doctor("loud.yaml", plugins=[home / "shout.py"])
    finally:
        SOURCES.reset(before)

    assert (without.is_broken, given.is_broken) == (True, False)
    assert "--plugin FILE" in without["corpus"].found + without["corpus"].advice
    assert given["plugin"].found.startswith(f"{home / 'shout.py'}, ")
    assert given["tokens"].status == "ok"


def test_a_plugin_that_fails_is_a_finding(doctor: Callable, home: Path) -> None:
    (home / "broken.py").write_text("1 / 0\n")

    checkup = doctor(plugins=[home / "broken.py"])

    assert checkup.is_broken
    assert "line 1: ZeroDivisionError" in checkup["plugins"].found
