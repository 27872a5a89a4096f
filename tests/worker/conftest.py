"""A study of one tiny trial in a database of its own, a worker on it, and trainers whose part a thread plays."""

import io
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from growlab.kinds import KINDS
from growlab.preparation.checking import prepare
from growlab.proposal import Proposal
from growlab.records import Decision, TrialResult, TrialState
from growlab.resources import STOPPING
from growlab.specs import TrialSpec
from growlab.storage import Claim, Store, engine
from growlab.study import Study
from growlab.study.file import read_study_file
from growlab.worker import supervisor
from growlab.worker import trainer as trainer_module
from growlab.worker.display import LineDisplay
from growlab.worker.messages import FromTrainer, ToTrainer, TrainerSetup
from growlab.worker.packing import Probe, next_spec
from growlab.worker.process import TrainerProcess

TINY = """
name: tiny
n_trials: 1
data: {path: corpus.txt, val_fraction: 0.1}
layouts: {blocks: {conv: {kernel: 3}, mlp: {}}, d_model: 16, depth: [2, 2]}
train: {batch_size: 4, seq_len: 16}
budget: {steps: 40}
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("".join(f"{at} the quick brown fox jumps over the dog\n" for at in range(60)))
    (tmp_path / "tiny.yaml").write_text(TINY)
    return prepare(read_study_file(tmp_path / "tiny.yaml"), [], print)[0]


@pytest.fixture
def store(study: Study) -> Iterator[Store]:
    with Store.open("sqlite:///growlab.db", create=True) as store:
        store.create_study(study)
        yield store


@pytest.fixture
def impatient_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own waiting is cut short. Before the store is opened."""
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_S", 0.01)


@pytest.fixture
def make_spec() -> Callable[[TrialSpec], TrialSpec]:
    """Another trial than the one given."""
    return lambda spec: replace(spec, seed=spec.seed + 1)


@pytest.fixture
def enqueue(store: Store, study: Study) -> Callable[..., None]:
    """Put trial 0 of the study into the queue, or another one."""

    def enqueue(number: int = 0) -> None:
        row = store.study(study.name)
        spec = next_spec(store, row, [])
        assert spec is not None
        by_hand = Decision(number=number, seed=1, origin="given", parent=None, mutation="", finished=(), running=())
        store.enqueue(row.id, Proposal(spec=spec, layout=spec.layout, depth=2, params={}, decision=by_hand))

    return enqueue


@pytest.fixture
def probe(store: Store, study: Study) -> Probe:
    spec = next_spec(store, store.study(study.name), [])
    assert spec is not None
    return Probe(spec=spec, device="cpu", n_threads=1, seconds=0.2)


@pytest.fixture
def kinds_as_they_were() -> Iterator[None]:
    """What a plugin registers in this process is forgotten."""
    before = dict(KINDS)
    yield
    KINDS.reset(before)


@pytest.fixture
def process_as_it_was() -> Iterator[None]:
    """What the main function of a process does to signals and to torch's threads is undone in ours."""
    handlers, n_threads = {number: signal.getsignal(number) for number in STOPPING}, torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Waits for what comes true by another thread's doing."""

    def wait(condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.01)

    return wait


# ---- a worker ----------------------------------------------------------------------------------------------------


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def worker(
    store: Store, study: Study, screen: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> supervisor._Worker:
    """Of short leases and little patience with its trainers, which are none yet."""
    monkeypatch.setattr(supervisor, "STOP_GRACE_S", 0.3)
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_S", 0.0)
    options = supervisor.WorkerOptions(storage_url="sqlite:///growlab.db", artifacts=tmp_path, lease_s=0.01)
    worker = supervisor._Worker("tiny", options, LineDisplay(screen))
    worker.store, worker.stored = store, store.study("tiny")
    worker.worker_id = store.register_worker(name="gpu0", device="cpu", versions={})
    return worker


@pytest.fixture
def claim(worker: supervisor._Worker, enqueue: Callable[[], None]) -> Claim:
    """Of a lease so short that a beat comes at once."""
    enqueue()
    claim = worker.store.claim_next(worker.stored.id, worker.worker_id, lease_s=0.01)
    assert claim is not None
    return claim


@pytest.fixture
def result() -> TrialResult:
    return TrialResult(
        state=TrialState.COMPLETED,
        layout_end="d=16 conv mlp",
        depth_end=2,
        n_params=1_000,
        val_loss=1.5,
        best_val_loss=1.5,
        bits_per_byte=2.2,
        flops=10**9,
        tokens=1_000,
        steps=40,
        elapsed_s=1.0,
    )


# ---- a trainer in this process -----------------------------------------------------------------------------------


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The codes with which the process would have ended; what would have ended it ends its thread."""
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest's counts SystemExit as an error
    return codes


@pytest.fixture
def pipe(exits: list[int]) -> Iterator[tuple[Connection, Connection]]:
    """The supervisor's end and the trainer's; with the first one ends the thread that reads the second."""
    ours, theirs = multiprocessing.Pipe()
    yield ours, theirs
    ours.close()
    for thread in threading.enumerate():
        if thread.name == "orders":
            thread.join()
    theirs.close()


@pytest.fixture
def setup(tmp_path: Path) -> TrainerSetup:
    return TrainerSetup(
        storage_url="sqlite:///growlab.db",
        artifacts=tmp_path / "artifacts",
        device="cpu",
        n_threads=0,
        checkpoint_every_s=5.0,
        plugins=(),
        deterministic=False,
        patience_s=0.0,
    )


@pytest.fixture
def start(pipe: tuple[Connection, Connection], setup: TrainerSetup) -> Callable[..., trainer_module._Trainer]:
    """A trainer that is ready; `changes` are of its setup."""

    def start(**changes: object) -> trainer_module._Trainer:
        _, theirs = pipe
        return trainer_module._Trainer(replace(setup, **changes), theirs, trainer_module._Orders(theirs))

    return start


# ---- a trainer whose part a thread plays ---------------------------------------------------------------------------

Answers = Callable[[ToTrainer], Iterable[FromTrainer]]


class PlayedTrainer(TrainerProcess):
    """The supervisor's end is the real one, and so is the pipe. A part that raises EOFError has died."""

    def __init__(self, answers: Answers, first: Iterable[FromTrainer]) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self.orders: list[ToTrainer] = []
        self._process = threading.Thread(target=self._play, args=(theirs, answers, first))
        self._process.exitcode = 1
        self._process.start()

    def _play(self, theirs: Connection, answers: Answers, first: Iterable[FromTrainer]) -> None:
        with closing(theirs), suppress(EOFError, OSError):
            for message in first:
                theirs.send(message)
            while True:
                self.orders.append(theirs.recv())
                for message in answers(self.orders[-1]):
                    theirs.send(message)


@pytest.fixture
def play() -> Iterator[Callable[..., PlayedTrainer]]:
    """Starts a trainer that says what is in `first`, and then whatever `answers` makes of each order."""
    started: list[PlayedTrainer] = []

    def start(answers: Answers = lambda order: (), first: Iterable[FromTrainer] = ()) -> PlayedTrainer:
        started.append(PlayedTrainer(answers, first))
        return started[-1]

    yield start
    for trainer in started:
        trainer.end()


@pytest.fixture
def setups(monkeypatch: pytest.MonkeyPatch, play: Callable[..., PlayedTrainer]) -> Callable[..., list[TrainerSetup]]:
    """`setups(answers, first)` has trainers played so from now on, and gives the list of what each was started with."""

    def cast_as(answers: Callable[[ToTrainer], Iterable[FromTrainer]], first: list[FromTrainer]) -> list:
        started: list[TrainerSetup] = []

        def start(setup: TrainerSetup) -> TrainerProcess:
            started.append(setup)
            return play(answers, first)

        monkeypatch.setattr(supervisor, "TrainerProcess", start)
        return started

    return cast_as
