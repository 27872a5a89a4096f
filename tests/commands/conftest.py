import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from growlab.commands import main

TINY = """
name: tiny
seed: 3
n_trials: 2
data: {path: corpus.txt, val_fraction: 0.1}
layouts:
  blocks: {attn: {n_heads: [1, 2]}, conv: {kernel: 3}, mlp: {}}
  d_model: 16
  depth: [2, 4]
train: {batch_size: 4, seq_len: 16, eval_every: 10, lr: {low: 1e-3, high: 1e-2, log: true}}
growth:
  trigger: stagnation
  tau_crit: 0
  kappa_crit: 0
  threshold: 1.0
  patience: 1
  warmup_steps: 10
  collect_interval_steps: 2
  history_window_size: 4
  k_subspace: 1
  ell_orth: 1
  freeze_steps: 4
  cooldown_steps: 2
  max_depth: 6
budget: {steps: 40}
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Growlab = Callable[..., Outcome]


def furnish(folder: Path) -> None:
    """A corpus and a study file of two tiny trials."""
    line = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"
    (folder / "corpus.txt").write_text("".join(f"{at} {line}" for at in range(60)))
    (folder / "tiny.yaml").write_text(TINY)


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
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


@pytest.fixture
def growlab(home: Path) -> Growlab:
    """Command lines in a folder of this test's own."""
    return call


@dataclass(frozen=True)
class Ran:
    """A study that two workers have run to its end."""

    home: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
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
