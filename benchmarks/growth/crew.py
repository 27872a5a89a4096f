"""Processes that train, so many on each device; one trial at a time each, and the text that it read last kept."""

import contextlib
import gc
import math
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.escapes import first_line
from growlab.records import Artifact, Fact, GrowthEvent, TrialProgress, TrialResult
from growlab.specs import TrialSpec

if TYPE_CHECKING:
    import torch

    from growlab.data import Corpus, RecentCorpus


@dataclass(frozen=True, kw_only=True)
class Job:
    key: str
    spec: TrialSpec
    is_tested: bool  # whether its final model is read on the test split


@dataclass(frozen=True, kw_only=True)
class Done:
    key: str
    result: TrialResult | None  # None: it raised
    growths: Sequence[GrowthEvent] = ()
    test_loss: float | None = None
    elapsed_s: float = 0.0  # all of it, in its process
    error: str = ""


@dataclass
class Notes:
    """A recorder in memory. No checkpoint is ever written, so there is none to go on from."""

    growths: list[GrowthEvent] = field(default_factory=list)
    model: Artifact | None = None

    def record(self, fact: Fact) -> None:
        if isinstance(fact, GrowthEvent):
            self.growths.append(fact)

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None:
        self.model = next((artifact for artifact in artifacts if artifact.kind == "model"), None)

    def checkpoint(self) -> Artifact | None:
        return None

    def start_over(self, why: str) -> None: ...
    def began(self, step: int) -> None: ...
    def progress(self, progress: TrialProgress) -> None: ...
    def commit(self, checkpoint: Artifact) -> None: ...

    def settled(self, within_s: float | None = 0.0) -> bool:
        return True


class Slot:
    """A process on a device, seen from here."""

    def __init__(self, device: str, n_threads: int) -> None:
        self.device, self.n_threads = device, n_threads
        self.job: Job | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.device, self.n_threads), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        self.job = job
        with contextlib.suppress(OSError):  # it died; take says so
            self.pipe.send(job)

    def take(self) -> Done:
        """What became of its job. After one that raised, or that its process died of, there is a new process."""
        assert self.job is not None
        job, self.job = self.job, None
        try:
            done: Done = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(10)
            done = Done(key=job.key, result=None, error=f"its process died, exit code {self.process.exitcode}")
        if done.result is None:  # a device that failed once fails whoever goes on with it
            self.end()
            self._start()
        return done

    def end(self) -> None:
        """Let it leave when it is idle; kill it in a training."""
        self.pipe.close()
        if self.job is None:
            self.process.join(5)
        self.process.kill()
        self.process.join()


def serve(pipe: Connection, device_name: str, n_threads: int) -> None:
    """Train what is asked for until the pipe ends."""
    import torch

    from growlab.data import RecentCorpus
    from growlab.kernels import compare_all
    from growlab.plugins import load_plugins
    from growlab.training import sample
    from growlab.training.device import free_much_memory, use_device

    sample.LENGTH = 1  # nobody reads what these models would write in the end
    if n_threads:
        torch.set_num_threads(n_threads)
    device = use_device(device_name)
    load_plugins(())
    compare_all(device)
    texts = RecentCorpus()
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            job: Job = pipe.recv()
            began = time.monotonic()
            done = train(job, texts, device, Path(folder))
            gc.collect()  # recorded steps stand in cycles, and hold memory of the device
            free_much_memory(device)
            gc.freeze()  # what has been loaded by now stays, and need not be looked through again
            pipe.send(replace(done, elapsed_s=time.monotonic() - began))


def train(job: Job, texts: "RecentCorpus", device: "torch.device", root: Path) -> Done:
    """Train one trial to its end, and read its final model on the test split where that is asked for."""
    from growlab.training.checkpoint import CheckpointFolder
    from growlab.training.trial import run_trial

    notes = Notes()
    try:
        corpus = texts.load(job.spec.data, job.spec.curriculum)
        folder = CheckpointFolder(root, "trial")
        result = run_trial(job.spec, corpus, notes, device=device, folder=folder, checkpoint_every_s=math.inf)
        test_loss = _test_loss(job, corpus, notes.model, device, root) if job.is_tested and notes.model else None
        return Done(key=job.key, result=result, growths=notes.growths, test_loss=test_loss)
    except Exception as error:  # whatever it is, the next training is another one
        return Done(key=job.key, result=None, error=first_line(f"{type(error).__name__}: {error}"))
    finally:
        for path in (root / "trial").glob("*"):
            path.unlink(missing_ok=True)


def _test_loss(job: Job, corpus: "Corpus", model: Artifact, device: "torch.device", root: Path) -> float:
    from growlab.export.load import load_model
    from growlab.training.evaluation import evaluate

    train = job.spec.train
    return evaluate(
        load_model(root / model.path, model.sha256).to(device),
        corpus.test,
        seq_len=train.seq_len,
        batch_size=train.batch_size,
        precision=train.precision,
        device=device,
    ).loss
