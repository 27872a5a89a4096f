import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from growlab.commands import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Growlab = Callable[..., Outcome]


def call(*words: str) -> Outcome:
    """Run a command line in this process and folder, as a person would."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["growlab", *words])
        with pytest.raises(SystemExit) as leaving:
            main()
    code = leaving.value.code
    return Outcome(code if isinstance(code, int) else int(bool(code)), out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def command_line() -> Growlab:
    """Command lines in the folder where we are."""
    return call


@pytest.fixture
def growlab(home: Path) -> Growlab:
    """Command lines in a folder of this test's own."""
    return call


@pytest.fixture(scope="module", autouse=True)
def _forked(forked: None) -> None:
    """Whatever a command that runs in this process starts. What `spawn` starts is real, all the way down."""


@dataclass(frozen=True)
class Ran:
    """A study that two workers have run to its end."""

    home: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], None]) -> Ran:
    folder = tmp_path_factory.mktemp("ran")
    furnish(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Ran(folder, call("study", "run", "tiny.yaml", "--workers", "2", "--set", "n_trials=3"))


@pytest.fixture
def growlab_there(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> Growlab:
    """Command lines in the folder of the study that has run."""
    monkeypatch.chdir(ran.home)
    return call


@pytest.fixture
def spawn(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command line in a process of its own, in `home`."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "growlab", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
