"""N workers on this machine, as processes of their own: started together, watched, stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from growlab.errors import ArtifactsError

_ROOT = Path(__file__).resolve().parents[2]  # of the package
GRACE_S = 70.0  # a worker saves what it trains before it goes


@dataclass(frozen=True, kw_only=True)
class LocalFleet:
    """Running workers and their logs. Leaving the context asks all to stop and waits."""

    processes: tuple[subprocess.Popen[bytes], ...]
    logs: tuple[Path, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def running(self) -> int:
        return sum(process.poll() is None for process in self.processes)

    def failures(self) -> list[str]:
        """The last words of the workers that ended with an error."""
        return [
            f"worker {at} ended with {_status(process.returncode)}: {last_line(log)} (log: {log})"
            for at, (process, log) in enumerate(zip(self.processes, self.logs, strict=True))
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


def launch(
    study: str, devices: Sequence[str], *, storage_url: str, artifacts: Path, logs: Path, extra: list[str]
) -> LocalFleet:
    """Start a worker on each of `devices`. The storage URL travels in the environment: anybody can read command lines.

    Each is in a process group of its own, so that Ctrl-C reaches only us and we stop them in order. Raises
    ArtifactsError where no logs can be written.
    """
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactsError(f"cannot make the folder {logs}: {error.strerror}") from None
    environment = {
        **os.environ,
        "GROWLAB_STORAGE": storage_url,
        "GROWLAB_ARTIFACTS": str(artifacts),
        # -P below keeps the user's folder, with a copy.py of theirs, off the path; this growlab must stay on it
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    crew = f"{socket.gethostname()}-{os.getpid()}"  # others write their logs into this folder too
    paths = tuple(logs / f"worker-{crew}-{at}.log" for at in range(len(devices)))
    processes = []
    for device, path in zip(devices, paths, strict=True):
        command = [sys.executable, "-P", "-m", "growlab", "worker", "--device", device, *extra, "--", study]
        with path.open("ab") as log:
            processes.append(
                subprocess.Popen(
                    command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )
    return LocalFleet(processes=tuple(processes), logs=paths)


def last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "it said nothing"


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
