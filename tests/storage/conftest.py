"""Real databases for every test: a SQLite file, and a database of its own on a PostgreSQL server."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from growlab.proposal import Proposal
from growlab.queue import Queue
from growlab.records import (
    Artifact,
    Climb,
    Decision,
    GrowthEvent,
    Metric,
    PastTrial,
    Prediction,
    Promotion,
    RungReading,
    TrajectoryPoint,
    TrialResult,
    TrialState,
)
from growlab.scalar import with_defaults
from growlab.simulate.clock import Clock
from growlab.simulate.memory import STUDY_ID, MemoryQueue
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.storage import Claim, Database, Store, engine
from growlab.study import Study
from growlab.study.growth_section import growth_with
from growlab.study.reading import study_from_mapping

# ---- databases -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_url_to_empty(new_postgres_database: Callable[[], str]) -> str:
    return new_postgres_database()


@pytest.fixture
def empty_postgres_url(postgres_url_to_empty: str) -> str:
    with psycopg.connect(postgres_url_to_empty) as connection:  # far quicker than a new database
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgres_url_to_empty


@pytest.fixture(scope="session")
def used_postgres_url(new_postgres_database: Callable[[], str]) -> str:
    url = new_postgres_database()
    Store.open(url, create=True).close()
    return url


@pytest.fixture
def postgres_url(used_postgres_url: str) -> str:
    with psycopg.connect(used_postgres_url) as connection:
        connection.execute("DELETE FROM gl_studies")
        connection.execute("DELETE FROM gl_workers")
    return used_postgres_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    Store.open(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(engine, "SQLITE_SYNCHRONOUS", "OFF")  # tests lose nothing in a power cut
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'growlab.db')}"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest) -> str:
    """A database with all tables and no rows."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table; the SQLite file is not even there."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture(params=["0001", "0002", "0003", "0004", "0005", "0006"])
def old_schema(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old_url(empty_url: str, old_schema: str) -> str:
    """A database of that schema with rows in every table; old_databases says which."""
    old = Path(__file__).parent / "old_databases"
    if empty_url.startswith("sqlite"):
        with closing(sqlite3.connect(empty_url.removeprefix("sqlite:///"))) as connection:
            connection.executescript((old / f"{old_schema}_sqlite.sql").read_text())
    else:
        with psycopg.connect(empty_url) as connection:
            connection.execute((old / f"{old_schema}_postgresql.sql").read_text())
    return empty_url


# ---- things to store -------------------------------------------------------------------------------------------


def study_named(name: str = "nightly", n_trials: int = 10) -> Study:
    return study_from_mapping(
        {
            "name": name,
            "n_trials": n_trials,
            "layouts": {"d_model": 8, "depth": [1, 2], "blocks": ["attn", "mlp"]},
            "budget": {"steps": 100},
            "train": {"lr": "search"},
        }
    )


def trial_spec(layout: str = "d=8 attn[heads=2] mlp[expand=2.0]") -> TrialSpec:
    return TrialSpec(
        layout=layout,
        data=with_defaults(DataSpec, path="", val_fraction=0.05, test_fraction=0.1),
        train=with_defaults(TrainSpec),
        growth=growth_with(),
        budget=BudgetSpec(unit="steps", amount=100),
        curriculum=(),
        seed=7,
    )


POINT = TrajectoryPoint(
    step=100,
    unit=1,
    tensor="",
    n_increments=14,
    tau=3.7,
    kappa=3.6,
    diffusion_exponent=0.5,
    drift_to_noise=-0.01,
    drift_z=0.3,
    path=12.0,
    displacement=3.2,
)
EVENT = GrowthEvent(
    step=200,
    position=2,
    unit="attn mlp",
    operator="aiether",
    reason="stagnation",
    tau=2.5,
    kappa=0.7,
    val_loss_before=2.0,
    val_loss_after=2.1,
    depth_before=2,
    depth_after=4,
    n_params_after=2**33,
)


def rung_reading(rung: int = 0, **changes: Any) -> RungReading:
    values: dict[str, Any] = {
        "rung": rung,
        "step": 10 * (rung + 1),
        "mark": 2**70,
        "flops": 2**70 + 2**20,
        "val_loss": 2.0,
        "bits_per_byte": 2.5,
        "slope": -0.125,
    }
    return RungReading(**{**values, **changes})


def promotion(trial: int = 0, rung: int = 0, **changes: Any) -> Promotion:
    values: dict[str, Any] = {
        "finished": (3,),
        "running": (0, 1, 2),
        "climbs": (Climb(trial=trial, n_readings=rung + 1, may_pass=rung), Climb(trial=2, n_readings=2, may_pass=2)),
    }
    return Promotion(trial=trial, rung=rung, **{**values, **changes})


class Queueing:
    """A queue of one study's trials, in a database or in memory, and what may be put into it."""

    store: Queue[Any]
    study_id: int

    def enqueue(self, *numbers: int, store: Queue[Any] | None = None) -> list[bool]:
        return [(store or self.store).enqueue(self.study_id, self.proposal(number)) for number in numbers]

    def proposal(self, number: int) -> Proposal:
        return Proposal(
            spec=trial_spec(),
            layout="d=8 attn mlp",
            depth=2,
            params={"train.lr": 1e-3},
            decision=self.decision(number),
        )

    def claim(self, worker_id: int, *, lease_s: float = 60) -> Any:
        return self.store.claim_next(self.study_id, worker_id, lease_s=lease_s)

    def past(self) -> Sequence[PastTrial]:
        return self.store.past_trials(self.study_id, ["val_loss"])

    @staticmethod
    def decision(number: int) -> Decision:
        return Decision(
            number=number,
            seed=2**53 + 1,
            origin="mutation",
            parent=3,
            mutation="insert mlp after 1",
            finished=(0, 3),
            running=(4,),
            predicted=Prediction(mean=1.625, sd=0.25, runs=0.75),
        )

    @staticmethod
    def checkpoint(step: int) -> Artifact:
        return Artifact(kind="checkpoint", step=step, path=f"trial/step-{step}", sha256="ab" * 32, n_bytes=2**40)

    @staticmethod
    def val_loss(step: int, value: float = 2.0) -> Metric:
        return Metric(step=step, split="val", name="loss", value=value)

    @staticmethod
    def result(state: TrialState = TrialState.COMPLETED, **changes: Any) -> TrialResult:
        values: dict[str, Any] = {
            "layout_end": "d=8 (attn mlp)x2",
            "depth_end": 4,
            "n_params": 1_000,
            "val_loss": 1.5,
            "best_val_loss": 1.4,
            "bits_per_byte": 2.2,
            "flops": 2**70,
            "tokens": 2**40,
            "steps": 100,
            "elapsed_s": 12.5,
            "sample": "To be",
            "engine": "eager",
        }
        return TrialResult(state=state, **{**values, **changes})


class Lab(Queueing):
    """A store with one study, and a way into the database past the store."""

    store: Store

    def __init__(self, url: str, *, n_trials: int = 10) -> None:
        self.url = url
        self.store = Store.open(url)
        self.database = Database.open(url)
        self.study_id = self.add_study("nightly", n_trials=n_trials)

    def close(self) -> None:
        self.store.close()
        self.database.close()

    def sql(self, statement: str, **values: Any) -> list[Any]:
        """The rows of a query, or none of another statement."""

        def run(connection: Any) -> list[Any]:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

        return self.database.write(run)

    def count(self, table: str) -> int:
        [(n_rows,)] = self.sql(f"SELECT count(*) FROM {table}")
        return n_rows

    def add_study(self, name: str, *, n_trials: int = 10) -> int:
        self.store.create_study(study_named(name, n_trials))
        return self.store.study(name).id

    def worker(self, name: str = "gpu0") -> int:
        return self.store.register_worker(name=name, device="cpu", versions={"torch": "2.13"})

    def expire(self, claim: Claim, *, ago_s: float = 120) -> None:
        """As if the claim's worker had not been heard of since its lease began, while others were.

        The lease counts as short: a server that a test started a moment ago grants every lease in full once more.
        """
        set_back = "UPDATE gl_trials SET lease_expires_at = lease_expires_at - :by, lease_s = 0"
        self.sql(f"{set_back} WHERE id = :id AND state = 'running'", by=claim.lease_s + ago_s, id=claim.trial_id)
        set_back = "UPDATE gl_attempts SET heartbeat_at = heartbeat_at - :by WHERE id = :id"
        self.sql(set_back, by=claim.lease_s + ago_s, id=claim.attempt_id)

    def has_lease_of(self, lease_s: float, *, since: float) -> bool:
        """Whether trial 0 was given such a lease since then on the monotonic clock, however busy the machine is."""
        left_s = self.store.trial(self.study_id, 0).lease_left_s
        passed_s = time.monotonic() - since
        return left_s is not None and lease_s - passed_s - 0.1 <= left_s <= lease_s

    def run_out(self, number: int) -> None:
        """The lease of a trial is over."""
        past = "UPDATE gl_trials SET lease_expires_at = 1, lease_s = 0 WHERE study_id = :study_id AND number = :number"
        self.sql(past, study_id=self.study_id, number=number)

    def kept(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the protocol of leases is about."""
        joined = "FROM gl_trials JOIN {0} ON gl_trials.id = trial_id"
        queries = {
            "trials": "SELECT number, state, epoch, strikes, may_pass FROM gl_trials",
            "attempts": f"SELECT number, gl_attempts.epoch, end_reason {joined.format('gl_attempts')}",
            "facts": f"SELECT number, step, gl_metrics.epoch {joined.format('gl_metrics')}",
            "checkpoints": f"SELECT number, step {joined.format('gl_artifacts')}",
            "promotions": f"SELECT number, rung {joined.format('gl_promotions')}",
        }
        which = f"WHERE study_id = {self.study_id} ORDER BY 1, 2"

        def read(connection: Any) -> dict[str, list[tuple[Any, ...]]]:
            return {
                name: [tuple(row) for row in connection.execute(text(f"{query} {which}"))]
                for name, query in queries.items()
            }

        return self.database.read(read)

    def overwrite(self, column: str, words: str, number: int = 0) -> None:
        """A trial's column of JSON, past every check."""
        value = "CAST(:words AS JSON)" if self.url.startswith("postgresql") else ":words"
        self.sql(f"UPDATE gl_trials SET {column} = {value} WHERE number = :number", words=words, number=number)

    def state(self, number: int = 0) -> TrialState:
        return self.store.trial(self.study_id, number).state


class MemoryLab(Queueing):
    """The queue that simulations use, with one study."""

    store: MemoryQueue

    def __init__(self, *, n_trials: int = 10) -> None:
        self.study_id = self.add_study("nightly", n_trials=n_trials)

    def add_study(self, name: str, *, n_trials: int = 10, **changes: Any) -> int:
        self.clock, self.n_workers = Clock(), 0
        self.store = MemoryQueue(replace(study_named(name, n_trials), **changes), self.clock)
        return STUDY_ID

    def worker(self, name: str = "gpu0") -> int:
        self.n_workers += 1
        return self.n_workers

    def run_out(self, number: int) -> None:
        """The lease of a trial is over."""
        self.store._lend(number, 0.0)

    def kept(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the protocol of leases is about, but for facts and promotions: it keeps what came of them alone."""
        past, trials = self.store._past, sorted(self.store._trials.items())
        return {
            "trials": [
                (number, past[number].state, trial.epoch, trial.strikes, past[number].may_pass)
                for number, trial in trials
            ],
            "attempts": [
                (at, n, attempt.reason) for at, trial in trials for n, attempt in enumerate(trial.attempts, 1)
            ],
            "checkpoints": [(number, trial.checkpoint.step) for number, trial in trials if trial.checkpoint],
        }


@pytest.fixture
def make_study() -> Callable[..., Study]:
    return study_named


@pytest.fixture
def make_spec() -> Callable[..., TrialSpec]:
    return trial_spec


@pytest.fixture
def make_result() -> Callable[..., TrialResult]:
    return Lab.result


@pytest.fixture
def point() -> TrajectoryPoint:
    return POINT


@pytest.fixture
def event() -> GrowthEvent:
    return EVENT


@pytest.fixture
def make_reading() -> Callable[..., RungReading]:
    return rung_reading


@pytest.fixture
def make_promotion() -> Callable[..., Promotion]:
    return promotion


@pytest.fixture
def new_lab() -> Iterator[Callable[..., Lab]]:
    with ExitStack() as closes:

        def make(url: str, **options: Any) -> Lab:
            lab = Lab(url, **options)
            closes.callback(lab.close)
            return lab

        yield make


@pytest.fixture
def new_queue(new_lab: Callable[..., Lab], request: pytest.FixtureRequest) -> Callable[..., Queueing]:
    """Makes a queue of that name, sqlite, postgresql or memory, of a study of ten trials."""

    def make(name: str) -> Queueing:
        return MemoryLab() if name == "memory" else new_lab(request.getfixturevalue(QUEUES[name]))

    return make


QUEUES = {"sqlite": "sqlite_url", "postgresql": "postgres_url", "memory": ""}


@pytest.fixture(params=QUEUES)
def queueing(new_queue: Callable[..., Queueing], request: pytest.FixtureRequest) -> Queueing:
    return new_queue(request.param)


@pytest.fixture
def lab(storage_url: str, new_lab: Callable[..., Lab]) -> Lab:
    """A study of ten trials, none of them proposed yet."""
    return new_lab(storage_url)
