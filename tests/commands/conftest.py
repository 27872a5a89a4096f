import subprocess
import sys
from collections.abc import Callable
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a corpus and a study file of two tiny trials."""
    monkeypatch.chdir(tmp_path)
    line = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"
    (tmp_path / "corpus.txt").write_text("".join(f"{at} {line}" for at in range(60)))
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def growlab(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process, as a person would in `home`."""

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["growlab", *words])
        with pytest.raises(SystemExit) as leaving:
            main()
        said = capsys.readouterr()
        code = leaving.value.code
        return Outcome(code if isinstance(code, int) else int(bool(code)), said.out, said.err)

    return run


@pytest.fixture
def spawn(home: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a command line in a process of its own, in `home`."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "growlab", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
