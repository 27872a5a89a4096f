import os
import random
import runpy
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
import torch
from hypothesis import HealthCheck, settings
from sqlalchemy import make_url

import growlab.blocks
import growlab.growth.protocol  # noqa: F401  (both fill tables, before a test puts them back as they were)
from growlab.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent
USUAL_SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"

# a busy machine is no failure
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("growlab", "conditions that tests must not depend on (make test-conditions)")
    group.addoption("--threads", type=int, default=1, metavar="N", help="torch's threads; 1: tensors are tiny")
    group.addoption(
        "--shuffle", type=int, metavar="SEED", help="run the files, and the tests of each, in a random order"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("--shuffle")) is not None:
        draw = random.Random(seed).random
        place = {path: draw() for path in dict.fromkeys(item.path for item in items)}
        items.sort(key=lambda item: (place[item.path], draw()))


@pytest.fixture(scope="session", autouse=True)
def house(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """No test reads or writes the user's caches and databases, or uses more threads than were asked for."""
    torch.set_num_threads(pytestconfig.getoption("--threads"))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; what tests start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in ("GROWLAB_STORAGE", "GROWLAB_ARTIFACTS", "GROWLAB_DEBUG", "GROWLAB_ENGINE", "GROWLAB_PLUGINS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


# ---- a study to begin with --------------------------------------------------------------------------------------

TINY = """
name: tiny
seed: 3
n_trials: 2
data: {path: corpus.txt, val_fraction: 0.1}
layouts:
  blocks: {attn: {n_heads: [1, 2]}, conv: {kernel: 3}, mlp: {}}
  d_model: 16
  depth: [2, 4]
train: {batch_size: 4, seq_len: 16, eval_every: 10, lr: {low: 1e-3, high: 1e-2, log: true}}
growth:
  trigger: stagnation
  tau_crit: 0
  kappa_crit: 0
  threshold: 1.0
  patience: 1
  warmup_steps: 10
  collect_interval_steps: 2
  history_window_size: 4
  k_subspace: 1
  ell_orth: 1
  freeze_steps: 4
  cooldown_steps: 2
  max_depth: 6
budget: {steps: 40}
"""


def _furnish(folder: Path) -> None:
    """A corpus and a study file of two tiny trials."""
    line = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"
    (folder / "corpus.txt").write_text("".join(f"{at} {line}" for at in range(60)))
    (folder / "tiny.yaml").write_text(TINY)


@pytest.fixture(scope="session")
def furnish() -> Callable[[Path], None]:
    """Puts a corpus and a study file of two tiny trials into a folder."""
    return _furnish


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A furnished folder of this test's own, in which we are."""
    monkeypatch.chdir(tmp_path)
    _furnish(tmp_path)
    return tmp_path


# ---- what takes long elsewhere ----------------------------------------------------------------------------------


@pytest.fixture
def small_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product and a copy that take no time; they are measured none the less."""
    monkeypatch.setattr("growlab.bench.roofline._SIDE", 64)
    monkeypatch.setattr("growlab.bench.roofline._BUFFER", 2**16)
    monkeypatch.setattr("growlab.bench.roofline._TRYING_S", 0.0)


# ---- block kinds in docs/ keep what every kind keeps; elsewhere they are not registered -------------------------


@contextmanager
def _documented_kinds_registered() -> Iterator[None]:
    before = dict(KINDS)
    try:
        for file in sorted((ROOT / "docs").glob("*_block.py")):
            runpy.run_path(str(file))
        yield
    finally:
        KINDS.reset(before)


@pytest.fixture(scope="module")
def documented_kinds() -> Iterator[None]:
    """The kinds of docs/ are registered while a module's tests run."""
    with _documented_kinds_registered():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """… and while the tests of all kinds are listed."""
    if not {"spec", "kind", "mixer"} & set(metafunc.fixturenames):
        return (yield)
    with _documented_kinds_registered():
        return (yield)


# ---- PostgreSQL ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server on which databases may be made.

    It is GROWLAB_TEST_POSTGRES, else the usual one of CI, else one that is started from the system's
    binaries for this run. Where none of that is possible the tests that ask for it are skipped.
    """
    if named := os.environ.get("GROWLAB_TEST_POSTGRES"):
        yield named
    elif _answers(USUAL_SERVER):
        yield USUAL_SERVER
    else:
        yield from _own_server(tmp_path_factory.mktemp("postgres"))


@pytest.fixture(scope="session")
def new_postgres_database(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database and gives its URL; all are dropped at the end."""
    with closing(psycopg.connect(postgres_server, autocommit=True)) as server, ExitStack() as drops:

        def make() -> str:
            name = f"growlab_test_{uuid.uuid4().hex}"
            server.execute(f"CREATE DATABASE {name}")
            server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
            drops.callback(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
            return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)

        yield make


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _own_server(folder: Path) -> Iterator[str]:
    """PostgreSQL from the system's binaries, on a free port, for as long as the tests run."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    search = os.pathsep.join([os.environ["PATH"], *map(str, binaries)])
    initdb, pg_ctl = shutil.which("initdb", path=search), shutil.which("pg_ctl", path=search)
    if not (initdb and pg_ctl):
        pytest.skip("no PostgreSQL: none on 127.0.0.1:5432, and neither initdb nor pg_ctl to start one")
    if os.geteuid() == 0:
        pytest.skip("no PostgreSQL: none on 127.0.0.1:5432, and initdb refuses to run as root")
    data, port = folder / "data", _free_port()
    subprocess.run([initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], check=True, capture_output=True)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    start = [pg_ctl, "-D", data, "-w", "-l", folder / "log", "-o", options, "start"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
