import importlib
import os
import pkgutil
import random
import runpy
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import psycopg
import pytest
import torch
from beartype import beartype
from forked import forking
from hypothesis import HealthCheck, settings
from jaxtyping import jaxtyped
from sqlalchemy import make_url

import growlab.blocks
import growlab.growth.protocol
import growlab.search.samplers  # noqa: F401  (they fill tables, before a test puts them back as they were)
from growlab import api
from growlab.kinds import KINDS
from growlab.proposal import Proposal
from growlab.records import (
    Artifact,
    Fact,
    GrowthEvent,
    Metric,
    RungReading,
    TrajectoryPoint,
    TrialResult,
    TrialState,
)
from growlab.search import preview
from growlab.storage import Claim, Store

if not torch.cuda.is_available():  # kernels run in Triton's interpreter: asked for before anything imports triton
    os.environ["TRITON_INTERPRET"] = "1"

# Processes that tests start, xdist's workers among them, compute on one core each: tensors and matrices are tiny, and
# threads that wait for one another took half of the processor's time. None looks for the hub, even where transformers,
# which reads this once, is loaded first.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

ROOT = Path(__file__).resolve().parent.parent
USUAL_SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"

# a busy machine is no failure
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("growlab", "conditions that tests must not depend on (make test-conditions)")
    group.addoption("--threads", type=int, default=1, metavar="N", help="torch's threads; 1: tensors are tiny")
    group.addoption(
        "--browser-required", action="store_true", help="a test that finds no Chromium fails (make test-browser)"
    )
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
        for name in (
            "GROWLAB_STORAGE",
            "GROWLAB_ARTIFACTS",
            "GROWLAB_DEBUG",
            "GROWLAB_ENGINE",
            "GROWLAB_KERNELS",
            "GROWLAB_PLUGINS",
        ):
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


# ---- a study that was played: no trial of it was trained, but its rows are those that training writes ----------------

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" \x1b[31m'


@pytest.fixture(scope="session")
def hostile() -> str:
    """A text that would end a script, begin another and load an image."""
    return HOSTILE


@pytest.fixture(scope="session")
def play() -> Callable[..., str]:
    """Makes the study `tiny` of a furnished folder with so many trials, and returns the URL of its database."""

    def make(folder: Path, n_trials: int = 6, n_evaluations: int = 8, name: str = "tiny", growths: int = 1) -> str:
        url = f"sqlite:///{folder / 'growlab.db'}"
        asked = [f"n_trials={n_trials}", "objectives=[val_loss, params]", f"data.path={folder / 'corpus.txt'}"]
        study = api.read_study(folder / "tiny.yaml", asked, name)
        with Store.open(url, create=True) as store:
            store.create_study(study)
            row = store.study(name)
            worker = store.register_worker(name=f"gpu0 {HOSTILE}", device="cuda:0", versions={})
            for proposal in preview(study, KINDS, lambda layout: 1, n_trials):
                store.enqueue(row.id, proposal)
                claim = store.claim_next(row.id, worker, lease_s=60)
                assert claim is not None
                _play(store, claim, proposal, n_evaluations, growths)
        return url

    return make


def _play(store: Store, claim: Claim, proposal: Proposal, n_evaluations: int, growths: int) -> None:
    """Most trials complete; the fourth diverges, the fifth waits as if at a rung, the sixth is being trained."""
    number, facts = proposal.number, _facts_of(proposal, n_evaluations, growths)
    checkpoint = Artifact(kind="checkpoint", step=1, path="c", sha256="0" * 64, n_bytes=1)
    match number:
        case 4:
            store.pause(claim, facts, checkpoint)
        case 5:
            store.commit(claim, facts, checkpoint)
        case _:
            state = TrialState.DIVERGED if number == 3 else TrialState.COMPLETED
            loss = None if number == 3 else 1.5 + 1 / (number + 2)
            spent: dict[str, Any] = {"flops": 10**9, "tokens": 4000, "steps": 40, "elapsed_s": 3.0}
            result = TrialResult(
                state=state, layout_end=proposal.layout, depth_end=proposal.depth + growths, val_loss=loss,
                n_params=2000 + 100 * (number % 40), best_val_loss=loss, bits_per_byte=loss, **spent,
                error=f"loss is nan at step 17 {HOSTILE}" if number == 3 else "",
            )  # fmt: skip
            store.finish(claim, result, facts, [])


def _facts_of(proposal: Proposal, n_evaluations: int, growths: int) -> list[Fact]:
    steps = [5 * (at + 1) for at in range(n_evaluations)]
    facts: list[Fact] = [
        metric
        for step in steps
        for metric in (
            Metric(step=step, split="val", name="loss", value=1.5 + 1 / (proposal.number + 2) + 1 / step),
            Metric(step=step, split="train", name="flops", value=1e9 * step / steps[-1]),
        )
    ]
    path = dict.fromkeys(("tau", "kappa", "diffusion_exponent", "drift_to_noise", "drift_z"), 1.25)
    facts += [
        TrajectoryPoint(step=step, unit=unit, tensor=tensor, n_increments=4, path=2.0, displacement=1.0, **path)
        for step in steps
        for unit in range(2)
        for tensor in ("", "weight")
    ]
    facts += [
        GrowthEvent(
            step=steps[1 + at], position=1, unit="conv[kernel=3]", operator="stack", reason="at", tau=1.5, kappa=0.7,
            val_loss_before=2.0, val_loss_after=2.1, depth_before=proposal.depth + at,
            depth_after=proposal.depth + at + 1, n_params_after=3000,
        )
        for at in range(growths)
    ]  # fmt: skip
    reading = RungReading(rung=0, step=20, mark=10**8, flops=10**8, val_loss=2.2, bits_per_byte=3.0, slope=-0.2)
    return [*facts, reading]


# ---- what takes long elsewhere ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forked() -> Iterator[None]:
    """Workers and trainers that a module's tests have started are forked from a process that has imported torch.

    Not on a machine with a GPU, where trainers use it: a forked process may not.
    """
    with nullcontext() if torch.cuda.is_available() else forking():
        yield


@pytest.fixture
def small_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product and a copy that take no time; they are measured none the less."""
    monkeypatch.setattr("growlab.bench.roofline._SIDE", 64)
    monkeypatch.setattr("growlab.bench.roofline._BUFFER", 2**16)
    monkeypatch.setattr("growlab.bench.roofline._TRYING_S", 0.0)


# ---- what annotations say of shapes is so, in the tests of every room that computes with tensors --------------------

TENSOR_ROOMS = ("geometry", "blocks", "data", "model", "growth", "training")


COMPILED = "growlab.training.compiled"  # a compiler would look into the checks, and keep what it made of them


# where checks would take longer than the tests: of these rooms only these files
DEAR_ROOMS = {
    "blocks": {"test_shapes"},
    "model": {"test_shapes"},
    "training": {"test_shapes", "test_feeds", "test_growing_adamw", "test_sample"},
}


@pytest.fixture(scope="session")
def tensor_rooms() -> tuple[str, ...]:
    return TENSOR_ROOMS


@pytest.fixture(scope="session")
def checking_shapes() -> Callable[..., AbstractContextManager[None]]:
    """Within `checking_shapes(room)` a function of the room that takes or returns other shapes than it names raises.

    The checks are put around the functions and not into the package as it is imported, as tests of several rooms run
    in one process, and a training step with all checks takes twice as long.
    """

    @contextmanager
    def enter(room: str, *others: object) -> Iterator[None]:
        """Also where `others`, modules of tests, have imported the functions by their names."""
        modules = [module for each in TENSOR_ROOMS for module in _modules_of(each).values()]
        with pytest.MonkeyPatch.context() as patch:
            for owner in [*modules, *_classes_of(room), *others]:
                for name, value in list(vars(owner).items()):
                    if (checked := _checked(room).get(id(value))) is not None:
                        patch.setattr(owner, name, checked)
            yield

    return enter


@pytest.fixture(scope="module", autouse=True)
def shapes_of_the_room(
    request: pytest.FixtureRequest, checking_shapes: Callable[..., AbstractContextManager[None]]
) -> Iterator[None]:
    """The tests of a room that computes with tensors hold its functions to the shapes that they name."""
    room, file = request.path.parent.name, request.path.stem
    is_checked = room in TENSOR_ROOMS and file in DEAR_ROOMS.get(room, {file})
    with checking_shapes(room, request.module) if is_checked else nullcontext():
        yield


@cache
def _modules_of(room: str) -> dict[str, ModuleType]:
    package = importlib.import_module(f"growlab.{room}")
    below = [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return {name: importlib.import_module(name) for name in (package.__name__, *below)}


def _classes_of(room: str) -> list[type]:
    return [
        value
        for name, module in _modules_of(room).items()
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == name
    ]


@cache
def _checked(room: str) -> dict[int, object]:
    """By the identity of a function or property of the room: the same with its shapes checked."""
    owned = [value for owner in (*_modules_of(room).values(), *_classes_of(room)) for value in vars(owner).values()]
    return {id(value): jaxtyped(value, typechecker=beartype) for value in owned if _names_shapes(value, room)}


def _names_shapes(value: object, room: str) -> bool:
    match value:
        case staticmethod() | classmethod():
            return _names_shapes(value.__func__, room)
        case property():
            return _names_shapes(value.fget, room)
        case FunctionType():
            annotations = [(type(each), each) for each in value.__annotations__.values()]
            is_ours = value.__module__ in _modules_of(room) and value.__module__ != COMPILED
            return is_ours and "jaxtyping" in repr(annotations)
    return False


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
