"""Workers as processes that can be hit: the group, the supervisor alone, the trainer alone.

spawned   `python -m growlab worker`, as people start them: seconds of imports each
forked    the same command in a process that has imported everything already, and its trainer likewise: for many
          faults in little time. Forked from one process that never opened a database.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

sys.path.append(str(Path(__file__).parents[1] / "forking"))
from forked import FORKING, be_growlab


class Running(Protocol):
    """A growlab command in processes of its own."""

    pid: int  # of a worker: its supervisor
    log: Path

    @property
    def exit_code(self) -> int | None: ...

    def trainer(self) -> int | None:
        """The id of the process that trains, while there is one."""
        ...

    def signal_all(self, number: signal.Signals) -> None: ...

    def wait(self, timeout_s: float) -> int | None: ...


class Spawned:
    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log = log
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "growlab", *words],
                env={**os.environ, **environment},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def trainer(self) -> int | None:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended while we looked
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(parent) == self.pid and state != "Z" and b"spawn_main" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
        return None

    def signal_all(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.exit_code


class Forked:
    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.log, self._note = log, log.with_suffix(".trainer")
        self._process = FORKING.Process(target=_command, args=(words, environment, folder, log, self._note))
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def trainer(self) -> int | None:
        noted = self._note.read_text() if self._note.exists() else ""
        return int(noted) if noted and Path("/proc", noted).exists() else None

    def signal_all(self, number: signal.Signals) -> None:
        for each in (self.pid, self.trainer()):
            if each:
                send(each, number)

    def wait(self, timeout_s: float) -> int | None:
        self._process.join(timeout_s)
        return self.exit_code


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, number)


def _command(words: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path, note: Path) -> None:
    """Be `growlab WORDS`, whose trainers are noted."""
    os.environ.update(environment)
    os.chdir(folder)
    be_growlab(words, log, lambda trainer: note.write_text(str(trainer.pid)))
