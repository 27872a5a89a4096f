"""The loop of a worker: claim (or propose and enqueue), have it trained, release; beat all the while.

No torch in this process. Every write is fenced by the claim's epoch, so whatever happens to this worker,
what it had already lost it cannot spoil. It outlives its trainer, which is replaced, and a database that is away,
which is waited for.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from growlab import __version__
from growlab.defaults import CHECKPOINT_EVERY_S, LEASE_S, USUAL_PATIENCE_S
from growlab.errors import DatabaseAway, GrowlabError, LeaseLost, UsageError
from growlab.escapes import first_line
from growlab.moved import moves_between
from growlab.records import EndReason, Paused, TrialState, n_ended
from growlab.storage import Claim, Patience, Store, StudyRow, Tally
from growlab.study import Study
from growlab.worker.display import Display, paused_text
from growlab.worker.heartbeat import Heartbeat
from growlab.worker.messages import (
    Began,
    Crashed,
    Crowded,
    Ended,
    FromTrainer,
    Lost,
    NoneWanted,
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
    Worn,
)
from growlab.worker.process import TrainerProcess
from growlab.worker.signals import stop_on_signals
from growlab.worker.trainer import summary

POLL_S = 0.1  # between looks at the pipe
IDLE_S = 1.0  # between looks at the queue while others work …
LOOKS_PER_LEASE = 8  # … at least: who looks is heard, and must leave no silence behind
CROWDED_PAUSE_S = 10.0  # before the next claim: a neighbour that ends meanwhile has room, and may take the trial
STOP_GRACE_S = 60.0  # for a trainer that was asked to stop, or has stored its result; then it is killed
RESTART_PAUSE_S = 1.0  # before the second new trainer in a row, doubling up to …
MOST_RESTART_PAUSE_S = 60.0
MOST_DEATHS = 10  # of trainers in a row, before anything was trained; those in a trial are its strikes
LEAVING = Patience(10.0)  # for a database that is away as we leave: the lease runs out by itself


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """The settings of a worker."""

    storage_url: str  # whole, with its password if it has one
    artifacts: Path
    device: str = "auto"
    n_threads: int = 0
    max_trials: int | None = None
    max_time_s: float | None = None
    lease_s: float = LEASE_S
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    patience_s: float = USUAL_PATIENCE_S  # for a database that is away
    name: str = ""
    plugins: tuple[Path, ...] = ()  # files; only the trainer imports them
    deterministic: bool = False
    study_here: Callable[[Study], Study] = lambda study: study  # with the paths at which its texts lie here
    parent: int | None = None  # the process that watches this one; when it is gone, nobody would stop us


@dataclass(frozen=True, kw_only=True)
class Served:
    """The end of a worker's service, and why it came."""

    n_trials: int  # that have ended
    stopped: bool  # by a signal, or because whoever started it is gone
    n_paused: int = 0  # times that a trial came to a rung and was paused


def serve(study_name: str, options: WorkerOptions, display: Display) -> Served:
    """Work on a study until it is done, a limit is reached or a signal asks to stop.

    Raises GrowlabError when this worker is unfit: no such study, another schema, another corpus, no such
    device, a plugin that fails; DatabaseAway when the database was away for longer than its patience. What it had
    claimed is back in the queue then, or will be when its lease ends.
    """
    return _Worker(study_name, options, display).serve()


class _Worker:
    def __init__(self, study_name: str, options: WorkerOptions, display: Display) -> None:
        self.study_name, self.options, self.display = study_name, options, display
        self.store: Store  # once it is open
        self.stored: StudyRow
        self.started_at = time.monotonic()
        self.stop_asked = False  # by a signal
        self.signals = stop_on_signals(self.ask_to_stop)
        self.n_trials = self.n_paused = 0
        self.asked_in_vain: tuple[Tally | None, NoneWanted] = (None, NoneWanted(is_done=False))
        self.trainer: TrainerProcess | None = None
        self.worn = ""  # why the trainer is to be replaced when it has answered
        self.deaths = 0  # of trainers, since one answered or trained
        self.fruitless: list[str] = []  # what those of them said that had no trial to die of
        self.worker_id = 0
        self.versions: dict[str, str] = {}  # of what the trainer runs

    def ask_to_stop(self) -> None:
        self.stop_asked = True

    @property
    def should_stop(self) -> bool:
        """Whether the worker is to end its trial and leave: asked to, orphaned, or out of time."""
        return self.stop_asked or self._is_orphaned() or self._is_out_of_time()

    def _is_orphaned(self) -> bool:
        """Whether the process that watches this one is gone."""
        parent = self.options.parent
        return parent is not None and os.getppid() != parent

    def _is_out_of_time(self) -> bool:
        """Whether the worker's time limit is over."""
        limit_s = self.options.max_time_s
        return limit_s is not None and time.monotonic() - self.started_at >= limit_s

    def serve(self) -> Served:
        with self.signals:
            try:
                with Store.open(self.options.storage_url, patience=self._patience()) as self.store:
                    self._work()
            except DatabaseAway as error:
                if not self.should_stop:
                    raise DatabaseAway(
                        f"{error}; waited {self.options.patience_s:,.0f} s for it (--patience)"
                    ) from None
        return Served(n_trials=self.n_trials, n_paused=self.n_paused, stopped=self.stop_asked or self._is_orphaned())

    def _work(self) -> None:
        try:
            self.stored = self.store.study(self.study_name)
            while not self.should_stop and not self._enough():
                if self.trainer is None and not self._start_trainer():
                    continue  # before a trial is claimed: what cannot start has nothing to give back
                with self.signals.uninterrupted():  # a claim that nobody heard of would be held until its lease ends
                    claim = self.store.claim_next(self.stored.id, self.worker_id, lease_s=self.options.lease_s)
                    self.display.away("")
                if claim is not None:
                    self._train_or_release(claim)
                elif not self._find_work():
                    break
        finally:
            with self.signals.uninterrupted():
                self._end_trainer()
                if self.worker_id:
                    with contextlib.suppress(GrowlabError):  # nothing depends on it
                        self.store.end_worker(self.worker_id, patience=LEAVING)

    def _enough(self) -> bool:
        return self.options.max_trials is not None and self.n_trials + self.n_paused >= self.options.max_trials

    def _patience(self) -> Patience:
        def goes_on(why: str) -> bool:
            self.display.away(why)
            return not self.should_stop

        return Patience(self.options.patience_s, goes_on)

    # ---- the queue ------------------------------------------------------------------------------------------

    def _find_work(self) -> bool:
        """Have something put into the queue, or wait for others. Returns False when nothing is left to do."""
        tally = self.store.tally(self.stored.id)
        return self._propose(tally) or self._wait_for_others(tally)

    def _propose(self, tally: Tally) -> bool:
        """Have one trial added, or let one go on from its rung, if the study wants it.

        Returns False when it has all, is over, or must wait for others.
        """
        if self.store.why_over(self.stored.id):
            return False
        if tally.n_trials >= self.stored.study.n_trials:
            self.stored = self.store.study(self.study_name)  # somebody may have asked for more meanwhile
            if tally.n_trials < self.stored.study.n_trials:
                return True
        if not self._may_want(tally):
            return False
        answer = self._ask(Propose(self.study_name))
        if isinstance(answer, Crashed | Stopped):
            return True  # another trainer tries, unless we are to stop
        if isinstance(answer, NoneWanted):
            self.asked_in_vain = (tally, answer)
            self.stored = self.store.study(self.study_name)  # which may want fewer than it did
            return False
        if not isinstance(answer, Proposed):
            raise _error(answer, "no trial could be proposed: ")
        return True

    def _may_want(self, tally: Tally) -> bool:
        """Whether to ask what the study wants; a trial at a rung is not asked about again while nothing has changed."""
        if tally.n_trials < self.stored.study.n_trials:
            return True
        return tally.counts[TrialState.PAUSED] > 0 and self._answer_to(tally) is None

    def _answer_to(self, tally: Tally) -> NoneWanted | None:
        """The answer when it was asked last what the study wants, if it stood as it stands now and wanted nothing."""
        asked_at, answer = self.asked_in_vain
        return answer if asked_at == tally else None

    def _wait_for_others(self, tally: Tally) -> bool:
        """Wait while all trials exist and none is free, as others are at work. Returns False when all are done.

        Of a study that is over those under way are all. One that waits at a rung is done when none goes on.

        Waiting matters: one of the others may die, and its trial is ours then.
        """
        n_trials = self.store.n_trials(self.stored.id)
        over = self.store.why_over(self.stored.id)
        if over and not self.store.n_under_way(self.stored.id):
            if n_ended(tally.counts) < n_trials:
                self.display.note(f"the study is over: {over}")
            return False
        if tally.n_trials >= n_trials and self._all_rest(tally):
            return False
        self.display.waiting(tally.counts)
        self._pause(min(IDLE_S, self.options.lease_s / LOOKS_PER_LEASE))
        return True

    def _all_rest(self, tally: Tally) -> bool:
        """Whether every trial has ended, or waits at a rung for good."""
        if any(n for state, n in tally.counts.items() if not state.is_final and state is not TrialState.PAUSED):
            return False
        answer = self._answer_to(tally)
        return not tally.counts[TrialState.PAUSED] or (answer is not None and answer.is_done)

    # ---- one trial ------------------------------------------------------------------------------------------

    def _train_or_release(self, claim: Claim) -> None:
        """Have a claimed trial trained. Whatever goes wrong with us meanwhile, it is free again at once."""
        try:
            self._train_claimed(claim)
        except BaseException:
            # it may be free already, or the database may be what is wrong
            with self.signals.uninterrupted(), contextlib.suppress(GrowlabError):
                self.store.release(claim, EndReason.STOPPED, "the worker failed", patience=LEAVING)
            raise

    def _train_claimed(self, claim: Claim) -> None:
        """Order the training of a claimed trial, and give it back or note its end as the answer says."""
        self.display.started(claim)
        folder = f"{self.stored.study.name}-{self.stored.id}/{claim.number:05d}"
        answer = self._ask(Train(claim=claim, folder=folder), claim)
        match answer:
            case Ended() | Paused():
                self.display.ended(claim, self._count(claim, answer))
            case Stopped():
                saved = f"not saved: {answer.note}" if answer.note else "saved"
                self._release(claim, EndReason.STOPPED, f"stopped and {saved}; it is back in the queue", answer.note)
            case Lost():
                self.display.ended(claim, answer.reason)
            case Unfit():
                self._release(claim, EndReason.STOPPED, "put back into the queue", answer.reason, leaving=True)
                raise _error(answer)
            case Crowded():  # a strike too: it must not be tried for ever
                self._release(claim, EndReason.CRASHED, f"put back: {first_line(answer.reason)}", answer.reason)
                self._pause(CROWDED_PAUSE_S)
            case Crashed():
                self._release(claim, EndReason.CRASHED, f"crashed: {first_line(answer.reason)}", answer.reason)
            case _:
                raise AssertionError(f"the trainer answered a trial with {answer!r}")

    def _count(self, claim: Claim, end: Ended | Paused) -> str:
        """Count a trial that we brought to its end or to a rung, and say so."""
        if isinstance(end, Paused):
            self.n_paused += 1
            return paused_text(claim, end.reading)
        self.n_trials += 1
        return f"{end.state}: {end.summary}"

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.should_stop:
            time.sleep(POLL_S)

    def _release(self, claim: Claim, reason: EndReason, message: str, note: str = "", *, leaving: bool = False) -> None:
        """Give the trial back, unless it has ended or is another worker's already."""
        with self.signals.uninterrupted():
            try:
                patience = LEAVING if leaving or self.should_stop else None
                self.store.release(claim, reason, note, patience=patience)
            except LeaseLost as error:
                end = self._stored_end(claim)
                message = self._count(claim, end) if end else str(error)
            except DatabaseAway:
                if not self.should_stop:
                    raise
                message = "stopped while the database is away; it is free when its lease ends"
            self.display.ended(claim, message)

    def _stored_end(self, claim: Claim) -> Ended | Paused | None:
        """The result, or the reading at a rung, with which this very attempt has ended in the database, if it has."""
        match self.store.ended_as(claim):
            case EndReason.FINISHED:
                trial = self.store.trial(claim.study_id, claim.number)
                return Ended(state=trial.state, summary=summary(trial))
            case EndReason.PAUSED if claim.ladder:
                readings = self.store.readings(claim.trial_id)  # it may be further by now
                return next((Paused(reading=each) for each in readings if each.rung == claim.ladder.may_pass), None)
        return None

    # ---- the trainer process --------------------------------------------------------------------------------

    def _ask(self, order: ToTrainer, claim: Claim | None = None) -> FromTrainer:
        """Send an order and wait for its answer, beating for `claim` meanwhile. A dead trainer is a Crashed."""
        assert self.trainer is not None, "_work starts it"
        self.trainer.send(order)
        heart = Heartbeat(self.store, claim, self.options.patience_s) if claim else None
        try:
            answer = self._answer(self.trainer, heart)
        finally:
            if heart:
                heart.end()
        if isinstance(answer, Crashed):
            self._end_trainer()
            if self.should_stop:  # whoever stops us may have killed it
                return Stopped(answer.reason)
            self._note_death(answer, fruitless=claim is None)
        else:
            self._forgive_deaths()
            if self.worn:
                self.display.note(f"another trainer takes over: {self.worn}")
                self._end_trainer()
        return answer

    def _answer(self, trainer: TrainerProcess, heart: Heartbeat | None) -> FromTrainer:
        kill_at: float | None = None
        while True:
            answer = trainer.receive(POLL_S)
            if isinstance(answer, Began | Progress):
                assert heart is not None, f"{answer!r}, and nothing is trained"
                self._show(answer, heart)
            elif isinstance(answer, Worn):
                self.worn = answer.reason
            elif answer is not None:
                return answer
            if heart:
                self.display.away(heart.away)
                if heart.fault:
                    return self._cut_off(trainer, heart.claim, heart.fault)
            if self.should_stop and kill_at is None:
                trainer.send(Stop())
                kill_at = time.monotonic() + STOP_GRACE_S
            if kill_at is not None and time.monotonic() > kill_at:
                self._end_trainer()
                return Stopped(f"the trainer did not stop within {STOP_GRACE_S:.0f} s and was killed")

    def _show(self, message: Began | Progress, heart: Heartbeat) -> None:
        """Show how far the trial is, to whoever looks and, with the next beat, to everybody."""
        if isinstance(message, Began):
            heart.step = message.step
            self.display.began(heart.claim, message.step, message.note)
        else:
            self._forgive_deaths()
            heart.step = message.progress.step
            self.display.progress(heart.claim, message.progress)

    def _cut_off(self, trainer: TrainerProcess, claim: Claim, fault: Exception) -> FromTrainer:
        """End a trainer whose beats have ended, unless it has stored its trial's end and is about to say so.

        Raises the fault unless it is that the lease was lost.
        """
        end = self._stored_end(claim) if isinstance(fault, LeaseLost) else None
        if end is None or not self._last_words(trainer):
            self._end_trainer()
        if not isinstance(fault, LeaseLost):
            raise fault
        return end or Lost(str(fault))

    def _last_words(self, trainer: TrainerProcess) -> bool:
        """Whether the trainer answers, as it must before the next order: it may be busy with tidying up."""
        until = time.monotonic() + STOP_GRACE_S
        while time.monotonic() < until:
            answer = trainer.receive(POLL_S)
            if isinstance(answer, Crashed | Worn):
                return False
            if answer is not None and not isinstance(answer, Began | Progress):
                return True
        return False

    def _start_trainer(self) -> bool:
        """Start a trainer and return whether there is one; not when asked to stop, or when it died.

        Then it may be tried again.

        Raises GrowlabError when it cannot work here, or when so many died in a row that none ever will.
        """
        if len(self.fruitless) >= MOST_DEATHS:
            raise GrowlabError(f"the trainer died {len(self.fruitless)} times in a row; last: {self.fruitless[-1]}")
        if self.deaths > 1:
            self._pause(min(RESTART_PAUSE_S * 2 ** (self.deaths - 2), MOST_RESTART_PAUSE_S))
        options = self.options
        setup = TrainerSetup(
            storage_url=options.storage_url,
            artifacts=options.artifacts,
            device=options.device,
            n_threads=options.n_threads,
            checkpoint_every_s=options.checkpoint_every_s,
            plugins=options.plugins,
            deterministic=options.deterministic,
            patience_s=options.patience_s,
            moved=moves_between(self.stored.study, options.study_here(self.stored.study)) or {},
        )
        self.trainer = TrainerProcess(setup)
        answer = self._answer(self.trainer, None)
        if isinstance(answer, Ready):
            self._register(answer)
            return True
        self._end_trainer()
        if isinstance(answer, Crashed):
            self._note_death(answer, fruitless=True)
        elif not self.should_stop:
            raise _error(answer)
        return False

    def _note_death(self, crashed: Crashed, *, fruitless: bool) -> None:
        self.deaths += 1
        if fruitless:
            self.fruitless.append(crashed.reason.strip())

    def _forgive_deaths(self) -> None:
        self.deaths = 0
        self.fruitless.clear()

    def _register(self, ready: Ready) -> None:
        """Add a row for each state of the code: a plugin may have been edited before a trainer is started again."""
        if ready.versions == self.versions:
            return
        if self.worker_id:
            self.store.end_worker(self.worker_id)
        self.versions = ready.versions
        self.worker_id = self.store.register_worker(
            name=self.options.name or f"{socket.gethostname()}-{os.getpid()}",
            device=ready.device,
            versions={"growlab": __version__, **ready.versions},
            lease_s=self.options.lease_s,
        )

    def _end_trainer(self) -> None:
        if self.trainer:
            self.trainer.end()
            self.trainer, self.worn = None, ""


def _error(answer: FromTrainer, before: str = "") -> GrowlabError:
    assert isinstance(answer, Unfit), f"unexpected {answer!r}"
    return (UsageError if answer.is_usage else GrowlabError)(before + answer.reason.strip())
