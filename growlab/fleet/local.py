"""N workers on this machine, as processes of their own: started together, watched, stopped together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from growlab.errors import ArtifactsError
from growlab.resources import STOPPING

_ROOT = Path(__file__).resolve().parents[2]  # of the package
PARENT = "GROWLAB_PARENT"  # in the environment of a worker: the process that stops it
GRACE_S = 70.0  # a worker saves what it trains before it goes


@dataclass(frozen=True, kw_only=True)
class LocalFleet:
    """Running workers and their logs."""

    processes: list[subprocess.Popen[bytes]]
    logs: tuple[Path, ...]

    def running(self) -> int:
        return sum(process.poll() is None for process in self.processes)

    def failures(self) -> list[str]:
        """The last words of the workers that ended with an error."""
        return [
            f"worker {at} ended with {_status(process.returncode)}: {last_line(log)} (log: {log})"
            for at, (process, log) in enumerate(zip(self.processes, self.logs, strict=False))
            if process.poll() not in (None, 0)
        ]

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for process in self.processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def launch(
    study: str, devices: Sequence[str], *, storage_url: str, artifacts: Path, logs: Path, extra: list[str]
) -> Iterator[LocalFleet]:
    """Start a worker on each of `devices`; at the end all are asked to stop and waited for, whatever happened.

    The storage URL travels in the environment: anybody can read command lines. Each is in a process group of its own,
    so that Ctrl-C reaches only us and we stop them in order; should we be killed, they see that and stop. Raises
    ArtifactsError where no logs can be written or no process can be started.
    """
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactsError(f"cannot make the folder {logs}: {error.strerror}") from None
    environment = {
        **os.environ,
        "GROWLAB_STORAGE": storage_url,
        "GROWLAB_ARTIFACTS": str(artifacts),
        PARENT: str(os.getpid()),
        # -P below keeps the user's folder, with a copy.py of theirs, off the path; this growlab must stay on it
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    crew = f"{socket.gethostname()}-{os.getpid()}"  # others write their logs into this folder too
    fleet = LocalFleet(processes=[], logs=tuple(logs / f"worker-{crew}-{at}.log" for at in range(len(devices))))
    try:
        with _interrupts_delayed():
            for device, path in zip(devices, fleet.logs, strict=True):
                command = [sys.executable, "-P", "-m", "growlab", "worker", "--device", device, *extra, "--", study]
                fleet.processes.append(_start(command, environment, path))
        yield fleet
    finally:
        fleet.stop()


def _start(command: Sequence[str], environment: Mapping[str, str], path: Path) -> subprocess.Popen[bytes]:
    try:
        with path.open("ab") as log:
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
    except OSError as error:
        raise ArtifactsError(f"cannot start the worker whose log is {path}: {error.strerror}") from None


@contextlib.contextmanager
def _interrupts_delayed() -> Iterator[None]:
    """Delay what would interrupt within to the end: in the middle of starting a process it would lose that process.

    Handled, not blocked: a process that is started meanwhile would inherit a block, and never hear that it is to stop.
    """
    came: list[tuple[int, FrameType | None]] = []
    handlers = {signum: signal.getsignal(signum) for signum in STOPPING}
    heard = {signum: handler for signum, handler in handlers.items() if callable(handler)}
    for signum in heard:
        signal.signal(signum, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for signum, handler in heard.items():
            signal.signal(signum, handler)
        for number, frame in came[:1]:
            heard[signal.Signals(number)](number, frame)


def last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
