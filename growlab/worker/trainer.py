"""The child process that holds torch. It obeys the supervisor and dies with it.

A thread reads the pipe, so that `Stop`, or the supervisor's death (the pipe ends), is noticed while a
trial trains.
"""

import gc
import math
import os
import queue
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import (
    ArtifactsError,
    DatabaseAway,
    GrowlabError,
    LayoutError,
    LeaseLost,
    SpecError,
    UsageError,
)
from growlab.records import PEAK_MEMORY, EarlyStop, Metric, Paused, RungReading, TrialResult, TrialState
from growlab.search import Done, New, Promote, Wait
from growlab.storage import Claim, LeasedRecorder, Patience, Store, TrialRow
from growlab.worker.causes import crowded_out, failed_at_once, held_by_others, out_of_memory
from growlab.worker.keeping import forget_paused, keep_best
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
from growlab.worker.signals import ignore_stopping

if TYPE_CHECKING:
    from growlab.training.stopping import Judge

ORPHANED, CRASHED = 70, 71  # exit codes
LEAVING_S = 15.0  # of a trainer that was asked to stop, for a database that is away
_ROOM = 1 << 16  # bytes that a disk must have left; a checkpoint needs more, but a full disk has not even these


def run_trainer(setup: TrainerSetup, pipe: Connection) -> None:
    """Run the trainer's process: answer every order until the pipe ends."""
    ignore_stopping()
    orders = _Orders(pipe)
    try:
        trainer = _Trainer(setup, pipe, orders)
        for order in orders:
            answer = trainer.answer(order)
            if isinstance(order, Train):
                trainer.tidy()  # before the answer: a device that fails here must not cost the next trial a strike
            pipe.send(answer)
    except GrowlabError as error:
        pipe.send(unfit(error))
    except Exception as error:
        try:
            pipe.send(Crashed(f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
        finally:
            os._exit(CRASHED)  # no teardown: on a device that failed, CUDA's may hang or fail once more


class _Orders:
    """The supervisor's messages; `stop_asked` is raised by Stop at once, ahead of the line."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._queue = pipe, queue.Queue[ToTrainer]()
        self.stop_asked = threading.Event()
        self._stopped_at = math.inf
        threading.Thread(target=self._read, daemon=True, name="orders").start()

    def goes_on(self, why: str) -> bool:
        """Whether to wait for the database still: asked to stop, it has some seconds to come back."""
        return time.monotonic() < self._stopped_at + LEAVING_S

    def __iter__(self) -> Iterator[Propose | Train]:
        while True:
            order = self._queue.get()
            if not isinstance(order, Stop):
                yield order

    def _read(self) -> None:
        while True:
            try:
                order: ToTrainer = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(ORPHANED)  # no supervisor, no lease: nothing we could still write
            if isinstance(order, Stop):
                self._stopped_at = time.monotonic()
                self.stop_asked.set()
            self._queue.put(order)


class _Trainer:
    def __init__(self, setup: TrainerSetup, pipe: Connection, orders: _Orders) -> None:
        import torch

        from growlab.data import RecentCorpus
        from growlab.kernels import compare_all
        from growlab.plugins import load_plugins
        from growlab.training.device import use_device

        if setup.n_threads:
            torch.set_num_threads(setup.n_threads)
        self.setup, self.pipe, self.orders = setup, pipe, orders
        self.settled = False  # until it has trained, and loaded what that takes
        self.device = use_device(setup.device, setup.deterministic)
        plugins = {f"plugin {name}": version for name, version in load_plugins(setup.plugins).items()}
        compare_all(self.device)
        self.store = Store.open(setup.storage_url, patience=Patience(setup.patience_s, orders.goes_on))
        self.corpus = RecentCorpus(setup.moved)
        require_writable(setup.artifacts)
        # torch's own word for its version is a class, of which the supervisor would load torch as it reads this
        versions = {"torch": str(torch.__version__), "threads": str(torch.get_num_threads()), **plugins}
        if setup.deterministic:
            versions["deterministic"] = "true"
        pipe.send(Ready(device=_device_name(self.device), versions=versions))

    def answer(self, order: Propose | Train) -> FromTrainer:
        return self._answer_propose(order) if isinstance(order, Propose) else self._answer_train(order)

    def tidy(self) -> None:
        """Give back what a trial held, so that the next one finds the device much as the first did.

        Where that cannot be, says so: another process takes this one's place.
        """
        from growlab.training.device import free_much_memory
        from growlab.training.recording import broke_off

        if broke_off():
            self.pipe.send(Worn("a recording of a step was broken off, which leaves torch's memory in disorder"))
            return
        gc.collect()
        free_much_memory(self.device)
        if not self.settled:  # what has been loaded by now stays; to look through all of it takes a tenth of a second
            gc.freeze()
            self.settled = True

    def _answer_propose(self, order: Propose) -> FromTrainer:
        try:
            return self._decide_next(order.study)
        except DatabaseAway as error:
            return Stopped(str(error)) if self.orders.stop_asked.is_set() else unfit(error)

    def _decide_next(self, name: str) -> Proposed | NoneWanted:
        """Put what is wanted into the queue from here: nothing large passes the pipe. A faster worker's stays."""
        from growlab.deciding import put_next
        from growlab.faults import unless_memory_is_short
        from growlab.model.cost import expected_steps
        from growlab.training.engine import choose_execution

        row = self.store.study(name)
        vocab_size = self.corpus.load(row.study.data, row.study.curriculum).tokenizer.vocab_size
        match put_next(self.store, row.id, row.study, vocab_size, revision=row.revision):
            case New(proposal):
                with unless_memory_is_short():  # loads a compiler now, if it can, not in the trial
                    choose_execution(self.device, expected_steps(proposal.spec, vocab_size))
                return Proposed()
            case Promote():
                return Proposed()
            case Wait():
                return NoneWanted(is_done=False)
            case Done():
                if not self.store.why_over(row.id):  # else it may go on from where it stands, with other limits
                    forget_paused(self.store, row.id, self.setup.artifacts)
                return NoneWanted(is_done=True)

    def _answer_train(self, order: Train) -> FromTrainer:
        try:
            answer = self._train(order)
            if isinstance(answer, Paused) and order.claim.ladder:
                keep_best(self.store, order.claim.study_id, order.claim.ladder.rungs, self.setup.artifacts)
            return answer
        except LeaseLost as error:
            return Lost(str(error))
        except DatabaseAway as error:
            return Stopped(str(error)) if self.orders.stop_asked.is_set() else unfit(error)
        except GrowlabError as error:
            return unfit(error)

    def _train(self, order: Train) -> FromTrainer:
        """Train a claimed trial to its end.

        Raises GrowlabError: LeaseLost also where a trial turns out too large only after it was lost.
        What is wrong with the trial itself is its result.
        """
        import torch

        from growlab.faults import is_out_of_memory, refused_operation, shortage
        from growlab.training.checkpoint import CheckpointFolder
        from growlab.training.trial import run_trial

        recorder = LeasedRecorder(
            self.store,
            order.claim,
            on_begin=lambda step, note: self.pipe.send(Began(step=step, note=note)),
            on_progress=lambda progress: self.pipe.send(Progress(progress)),
        )
        folder = CheckpointFolder(self.setup.artifacts, order.folder)
        spec = order.claim.spec
        corpus = self.corpus.load(spec.data, spec.curriculum)
        try:
            result = run_trial(
                spec,
                corpus,
                recorder,
                device=self.device,
                folder=folder,
                should_stop=self.orders.stop_asked.is_set,
                checkpoint_every_s=self.setup.checkpoint_every_s,
                ladder=order.claim.ladder,
                rules=order.claim.rules,
                judge=self._judge(order.claim) if order.claim.rules and order.claim.rules.median else None,
                asked=order.claim.asked,
            )
            if isinstance(result, Paused):
                return result
            return Ended(state=result.state, summary=summary(result)) if result else Stopped()
        except (LayoutError, SpecError) as error:
            failed = failed_at_once(spec, order.claim.layout, str(error))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if reason := refused_operation(error):
                return Unfit(reason, is_usage=True)
            if not is_out_of_memory(error):
                raise
            if neighbours := self._neighbours():
                return Crowded(f"{neighbours}\n{shortage(error)}")
            failed = out_of_memory(spec, order.claim.layout, shortage(error))
            if (there := self._memory_to_have()) is not None:
                recorder.record(Metric(step=failed.steps, split="train", name=PEAK_MEMORY, value=there))
        recorder.finish(failed, [])
        folder.forget_all()
        return Ended(state=failed.state, summary=summary(failed))

    def _judge(self, claim: Claim) -> "Judge":
        """Who compares a trial with others at a mark, by the study as it is then: its objectives may have changed."""
        from growlab.deciding import stopped_at_mark

        def judge(reading: RungReading) -> EarlyStop | None:
            *former, study = self.store.revisions(claim.study_id)
            vocab_size = self.corpus.load(claim.spec.data, claim.spec.curriculum).tokenizer.vocab_size
            return stopped_at_mark(
                self.store, claim.study_id, study, vocab_size, claim.number, reading, revision=len(former)
            )

        return judge

    def _memory_to_have(self) -> int | None:
        """The bytes of the device that a trial could have had; None of a CPU."""
        from growlab.training.device import device_memory

        memory = device_memory(self.device)
        return None if memory is None else memory.total - held_by_others(memory)

    def _neighbours(self) -> str:
        """Say that others hold so much of the device that it is not the trial's fault; else ''."""
        from growlab.training.device import device_memory

        return crowded_out(device_memory(self.device))


def unfit(error: GrowlabError) -> Unfit:
    if os.environ.get("GROWLAB_DEBUG"):  # the supervisor's own traceback ends at the pipe
        traceback.print_exception(error)
    return Unfit(str(error), is_usage=isinstance(error, UsageError))


def require_writable(root: Path) -> None:
    """Raise ArtifactsError, before anything is claimed, unless the artifact folder takes files that hold something."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root) as file:
            file.write(bytes(_ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ArtifactsError(f"cannot write into the artifact folder {root}: {error.strerror}") from None


def summary(result: TrialResult | TrialRow) -> str:
    """Say in a line how a trial ended."""
    if result.val_loss is None or result.state is not TrialState.COMPLETED:
        return result.error
    bits = result.bits_per_byte
    known = bits is not None and math.isfinite(bits)  # not of a synthetic task
    return f"val_loss {result.val_loss:.4f}, {f'{bits:.4f} bits per byte, ' if known else ''}{result.layout_end}"


def _device_name(device: object) -> str:
    import torch

    name = str(device)
    return f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name
