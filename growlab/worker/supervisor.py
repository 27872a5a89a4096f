"""The loop of a worker: claim (or propose and enqueue), have it trained, release; beat all the while.

No torch in this process. Every write is fenced by the claim's epoch, so whatever happens to this worker,
what it had already lost it cannot spoil.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from growlab import __version__
from growlab.errors import GrowlabError, LeaseLost, UsageError
from growlab.moved import moves_between
from growlab.records import EndReason
from growlab.storage import Claim, Store, StudyRow
from growlab.study import Study
from growlab.worker.display import Display
from growlab.worker.messages import (
    Crashed,
    Crowded,
    Ended,
    FromTrainer,
    Lost,
    Progress,
    Propose,
    Proposed,
    Ready,
    Stop,
    Stopped,
    ToTrainer,
    Train,
    TrainerSetup,
    Unfit,
)
from growlab.worker.signals import signals_held, stop_on_signals
from growlab.worker.trainer import run_trainer

POLL_S = 0.1  # between looks at the pipe
IDLE_S = 1.0  # between looks at the queue while others work
CROWDED_PAUSE_S = 10.0  # before the next claim: a neighbour that ends meanwhile has room, and may take the trial
LAST_WORDS_S = 5.0  # from the row of a result to the word of it: the device is tidied up meanwhile
STOP_GRACE_S = 60.0  # for a trainer that was asked to stop; then it is killed and the last checkpoint counts


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    storage_url: str  # whole, with its password if it has one
    artifacts: Path
    device: str = "auto"
    n_threads: int = 0
    max_trials: int | None = None
    max_time_s: float | None = None
    lease_s: float = 60.0
    checkpoint_every_s: float = 5.0
    name: str = ""
    plugins: tuple[Path, ...] = ()  # files; only the trainer imports them
    deterministic: bool = False
    study_here: Callable[[Study], Study] = lambda study: study  # with the paths at which its texts lie here
    parent: int | None = None  # the process that watches this one; when it is gone, nobody would stop us


@dataclass(frozen=True, kw_only=True)
class Served:
    """Why a worker stopped serving."""

    n_trials: int
    stopped: bool  # by a signal, or because whoever started it is gone


def serve(study_name: str, options: WorkerOptions, display: Display) -> Served:
    """Work on a study until it is done, a limit is reached or a signal asks to stop.

    Raises GrowlabError when this worker is unfit: no such study, another schema, another corpus, no such
    device, a plugin that fails. What it had claimed is back in the queue then.
    """
    with Store.open(options.storage_url) as store:
        worker = _Worker(store, store.study(study_name), options, display)
        with stop_on_signals(worker.ask_to_stop):
            return worker.serve()


class _Worker:
    def __init__(self, store: Store, study: StudyRow, options: WorkerOptions, display: Display) -> None:
        self.store, self.study, self.options, self.display = store, study, options, display
        self.started_at = time.monotonic()
        self.stop_asked = False  # by a signal, or by the end of our parent
        self.n_trials = 0
        self.trainer: _TrainerProcess | None = None
        self.worker_id = 0
        self.versions: dict[str, str] = {}  # of what the trainer runs

    def ask_to_stop(self) -> None:
        self.stop_asked = True

    @property
    def should_stop(self) -> bool:
        limit, parent = self.options.max_time_s, self.options.parent
        if parent is not None and os.getppid() != parent:
            self.stop_asked = True
        return self.stop_asked or (limit is not None and time.monotonic() - self.started_at >= limit)

    def serve(self) -> Served:
        try:
            while not self.should_stop and not self._enough():
                if self.trainer is None:  # before a trial is claimed: one that cannot start has nothing to give back
                    self._start_trainer()
                claim = self.store.claim_next(self.study.id, self.worker_id, lease_s=self.options.lease_s)
                if claim is not None:
                    self._run(claim)
                elif not self._propose() and not self._wait_for_others():
                    break
            return Served(n_trials=self.n_trials, stopped=self.stop_asked)
        finally:
            if self.trainer:
                self.trainer.end()
            if self.worker_id:
                self.store.end_worker(self.worker_id)

    def _enough(self) -> bool:
        return self.options.max_trials is not None and self.n_trials >= self.options.max_trials

    # ---- the queue ------------------------------------------------------------------------------------------

    def _propose(self) -> bool:
        """Add one trial if the study wants more. False when it has all."""
        number = sum(self.store.counts(self.study.id).values())
        if number >= self.study.study.n_trials:
            return False
        past = self.store.past_trials(self.study.id, self.study.study.objective.metric)
        answer = self._ask(Propose(study=self.study.study, past=past, number=len(past)))
        if not isinstance(answer, Proposed):
            raise _error(answer, "no trial could be proposed: ")
        made = answer.proposal
        self.store.enqueue(  # does nothing if another worker was faster
            self.study.id,
            number=made.decision.number,
            spec=made.spec,
            layout=made.layout,
            depth_start=made.depth,
            params=dict(made.params),
            decision=made.decision,
        )
        return True

    def _wait_for_others(self) -> bool:
        """All trials exist and none is free: others are at work. False when all are done.

        Waiting matters: one of the others may die, and its trial is ours then.
        """
        counts = self.store.counts(self.study.id)
        if all(state.is_final for state, n in counts.items() if n):
            return False
        self.display.waiting(counts)
        time.sleep(IDLE_S)
        return True

    # ---- one trial ------------------------------------------------------------------------------------------

    def _run(self, claim: Claim) -> None:
        """Have it trained. Whatever goes wrong with us meanwhile, the trial is free again at once."""
        try:
            self._train(claim)
        except BaseException:
            with contextlib.suppress(GrowlabError):  # it may be free already, or the database may be what is wrong
                self.store.release(claim, EndReason.STOPPED, "the worker failed")
            raise

    def _train(self, claim: Claim) -> None:
        self.display.started(claim)
        folder = f"{self.study.study.name}-{self.study.id}/{claim.number:05d}"
        answer = self._ask(Train(claim=claim, folder=folder), claim)
        match answer:
            case Ended():
                self.n_trials += 1
                self.display.ended(claim, f"{answer.state}: {answer.words}")
            case Stopped():
                self._release(claim, EndReason.STOPPED, "stopped and saved; it is back in the queue")
            case Lost():
                self.display.ended(claim, answer.words)
            case Unfit():
                self._release(claim, EndReason.STOPPED, "put back into the queue", answer.words)
                raise _error(answer)
            case Crowded():  # a strike too: it must not be tried for ever
                self._release(claim, EndReason.CRASHED, f"put back: {answer.words.splitlines()[0]}", answer.words)
                self._pause(CROWDED_PAUSE_S)
            case Crashed():
                self._release(claim, EndReason.CRASHED, f"crashed: {answer.words.splitlines()[0]}", answer.words)
            case _:
                raise AssertionError(f"the trainer answered a trial with {answer!r}")

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.should_stop:
            time.sleep(POLL_S)

    def _release(self, claim: Claim, reason: EndReason, words: str, note: str = "") -> None:
        """Give the trial back, unless it is another worker's already."""
        try:
            self.store.release(claim, reason, note)
        except LeaseLost as error:
            words = str(error)
        self.display.ended(claim, words)

    def _ask(self, order: ToTrainer, claim: Claim | None = None) -> FromTrainer:
        """Send an order and wait for its answer, beating for `claim` meanwhile. A dead trainer is a Crashed."""
        trainer = self.trainer
        assert trainer is not None, "serve starts it"
        trainer.send(order)
        beat_at = time.monotonic()
        kill_at: float | None = None
        while True:
            answer = trainer.receive(POLL_S)
            if isinstance(answer, Progress):
                assert claim is not None
                self.display.progress(claim, answer.progress)
            elif answer is not None:
                if isinstance(answer, Crashed):
                    self._end_trainer()
                return answer
            now = time.monotonic()
            if claim and now - beat_at >= self.options.lease_s / 4:
                beat_at = now
                try:
                    self.store.beat(claim)
                except LeaseLost as error:
                    return self._last_words(trainer) or Lost(str(error))
            if self.should_stop and kill_at is None:
                trainer.send(Stop())
                kill_at = now + STOP_GRACE_S
            if kill_at is not None and now > kill_at:
                self._end_trainer()
                return Crashed(f"the trainer did not stop within {STOP_GRACE_S:.0f} s and was killed")

    def _last_words(self, trainer: "_TrainerProcess") -> FromTrainer | None:
        """Of a trainer that owns its trial no longer: it may have finished it just now, and be about to say so.

        Otherwise it is ended, as what it does is for nothing.
        """
        until = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < until:
            answer = trainer.receive(POLL_S)
            if isinstance(answer, Crashed):
                break
            if answer is not None and not isinstance(answer, Progress):
                return answer
        self._end_trainer()
        return None

    # ---- the trainer process --------------------------------------------------------------------------------

    def _start_trainer(self) -> None:
        options = self.options
        setup = TrainerSetup(
            storage_url=options.storage_url,
            artifacts=options.artifacts,
            device=options.device,
            n_threads=options.n_threads,
            checkpoint_every_s=options.checkpoint_every_s,
            plugins=options.plugins,
            deterministic=options.deterministic,
            moved=moves_between(self.study.study, options.study_here(self.study.study)) or {},
        )
        self.trainer = _TrainerProcess(setup)
        self._register(self.trainer.wait_until_ready())

    def _register(self, ready: Ready) -> None:
        """A row for each state of the code: a plugin may have been edited before a trainer is started again."""
        if ready.versions == self.versions:
            return
        if self.worker_id:
            self.store.end_worker(self.worker_id)
        self.versions = ready.versions
        self.worker_id = self.store.register_worker(
            name=self.options.name or f"{socket.gethostname()}-{os.getpid()}",
            device=ready.device,
            versions={"growlab": __version__, **ready.versions},
        )

    def _end_trainer(self) -> None:
        if self.trainer:
            self.trainer.end()
            self.trainer = None


class _TrainerProcess:
    """Spawned, never forked: a forked process cannot use CUDA."""

    def __init__(self, setup: TrainerSetup) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run_trainer, args=(setup, theirs), daemon=True, name="growlab-trainer")
        with signals_held():  # the child inherits that: Ctrl-C while it imports must not kill it
            self._process.start()
        theirs.close()

    def wait_until_ready(self) -> Ready:
        """Raises GrowlabError when the trainer cannot start: no such device, no database, no torch."""
        while (answer := self.receive(POLL_S)) is None:
            pass
        if isinstance(answer, Ready):
            return answer
        self.end()
        raise _error(answer)

    def send(self, order: ToTrainer) -> None:
        with contextlib.suppress(OSError):  # it died; receive says so
            self._pipe.send(order)

    def receive(self, timeout_s: float) -> FromTrainer | None:
        """The next message, None after the timeout; the death of the process reads as Crashed."""
        try:
            if self._pipe.poll(timeout_s):
                message: FromTrainer = self._pipe.recv()
                return message
        except (EOFError, OSError):
            self._process.join(5)
            return Crashed(f"the trainer process died ({_exit_words(self._process.exitcode)})")
        return None

    def end(self) -> None:
        self._pipe.close()  # it leaves by itself when its pipe ends …
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()  # … unless it is stuck
            self._process.join()


def _error(answer: FromTrainer, before: str = "") -> GrowlabError:
    assert isinstance(answer, Unfit | Crashed), f"unexpected {answer!r}"
    is_usage = isinstance(answer, Unfit) and answer.is_usage
    return (UsageError if is_usage else GrowlabError)(before + answer.words.strip())


def _exit_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
