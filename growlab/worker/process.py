"""The trainer as a process, seen from its supervisor."""

import contextlib
import multiprocessing
import signal

from growlab.worker.messages import Crashed, FromTrainer, ToTrainer, TrainerSetup
from growlab.worker.signals import signals_held
from growlab.worker.trainer import run_trainer


class TrainerProcess:
    """The process of a trainer, spawned, never forked: a forked process cannot use CUDA."""

    def __init__(self, setup: TrainerSetup) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=run_trainer, args=(setup, theirs), daemon=True, name="growlab-trainer")
        with signals_held():  # the child inherits that: Ctrl-C while it imports must not kill it
            self._process.start()
        theirs.close()

    def send(self, order: ToTrainer) -> None:
        with contextlib.suppress(OSError):  # it died; receive says so
            self._pipe.send(order)

    def receive(self, timeout_s: float) -> FromTrainer | None:
        """Wait for the next message, None after the timeout; the death of the process reads as Crashed."""
        try:
            if self._pipe.poll(timeout_s):
                message: FromTrainer = self._pipe.recv()
                return message
        except (EOFError, OSError):
            self._process.join(5)
            return Crashed(f"the trainer process died ({_exit_text(self._process.exitcode)})")
        return None

    def end(self) -> None:
        self._pipe.close()  # it leaves by itself when its pipe ends …
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()  # … unless it is stuck
            self._process.join()


def _exit_text(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
