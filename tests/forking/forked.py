"""Workers, trainers and programs that are forked from a process that has imported torch, instead of started anew.

A tiny trial is trained in a moment; python and torch take four seconds of a processor to come up, in its worker and in
its trainer. The code that runs is the same. What a fork leaves out, a command line of its own and a fresh interpreter,
is told by tests that start real processes.
"""

import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any
from unittest import mock

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "growlab.commands",
        "growlab.worker.supervisor",
        "growlab.training.trial",
        "growlab.growth.operators",
        "growlab.data",
        "growlab.model.cost",
        "growlab.storage",
        "sqlalchemy.dialects.postgresql.psycopg",
        "torch._dynamo",  # which torch's optimizers import at the first step
    ]
)


def _ensure_running() -> None:
    """Start the server, if it is not there: where no signal is blocked, which all that is forked would inherit."""
    with mock.patch.dict(os.environ, PYTHONHASHSEED="7"):
        forkserver.ensure_running()


# ---- programs ----------------------------------------------------------------------------------------------------


def printed_elsewhere(program: str, folder: Path) -> str:
    """What a program prints in a forked process, which imports from `folder` too, and whose sets have another order.

    Raises EOFError where it fails; its traceback is on stderr.
    """
    _ensure_running()
    ours, theirs = FORKING.Pipe(duplex=False)
    process = FORKING.Process(target=_print_to, args=(theirs, program, str(folder)))
    process.start()
    theirs.close()
    try:
        return str(ours.recv())
    finally:
        process.join()


def _print_to(pipe: Connection, program: str, folder: str) -> None:
    sys.path.insert(0, folder)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(program, {})
    pipe.send(printed.getvalue())


# ---- workers -----------------------------------------------------------------------------------------------------


def be_growlab(words: Sequence[str], log: Path, started: Callable[[BaseProcess], object] = bool) -> None:
    """Be `growlab WORDS` in a forked process; its trainers are forked too, and `started` is called with each."""
    from growlab.commands import main

    Process = FORKING.Process
    start = Process.start

    def noted_start(process: BaseProcess) -> None:
        start(process)
        started(process)

    Process.start = noted_start
    multiprocessing.get_context = lambda method: FORKING  # the supervisor asks for `spawn`
    forkserver._forkserver.ensure_running = lambda: None  # ours is its parent's; it would start another
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["growlab", *words]
    main()


class Fleet:
    """Of `subprocess.Popen` what a fleet of workers asks for. `command` is `python … -m growlab WORDS`."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], stdout: IO[bytes], **as_in_a_fork: object
    ) -> None:
        words = command[command.index("growlab") + 1 :]
        self._process = FORKING.Process(target=_worker, args=(words, dict(env), Path.cwd(), Path(stdout.name)))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("growlab", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _worker(words: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.environ.pop("GROWLAB_PARENT", None)  # its parent is the server of forks
    os.chdir(folder)
    be_growlab(words, log)


@contextlib.contextmanager
def forking() -> Iterator[None]:
    """Within, workers and trainers that this process starts are forked."""
    _ensure_running()
    popen: Any = SimpleNamespace(Popen=Fleet, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
    context = SimpleNamespace(get_context=lambda method: FORKING)
    with (
        mock.patch("growlab.fleet.local.subprocess", popen),
        mock.patch("growlab.worker.packing.multiprocessing", context),
        mock.patch("growlab.worker.process.multiprocessing", context),
    ):
        yield
