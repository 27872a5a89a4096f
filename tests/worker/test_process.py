"""The trainer as a process: its death is a message, and its end is certain."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from growlab.worker.messages import Crashed, Stop, TrainerSetup
from growlab.worker.process import TrainerProcess, _exit_text


@pytest.fixture
def process(tmp_path: Path) -> Iterator[TrainerProcess]:
    """One that has hardly begun: it imports."""
    setup = TrainerSetup(
        storage_url=f"sqlite:///{tmp_path}/none.db",
        artifacts=tmp_path,
        device="cpu",
        n_threads=1,
        checkpoint_every_s=5.0,
        plugins=(),
        deterministic=False,
        patience_s=0.0,
    )
    process = TrainerProcess(setup)
    yield process
    process.end()


def test_a_trainer_that_is_killed_says_so_and_what_is_sent_to_it_is_lost(process: TrainerProcess) -> None:
    silent = process.receive(0.0)
    process._process.kill()

    answer = process.receive(60.0)
    process.send(Stop())

    assert silent is None
    assert answer == Crashed("the trainer process died (signal SIGKILL)")


def test_a_trainer_that_is_stuck_is_killed(process: TrainerProcess) -> None:
    child = process._process.pid
    assert child is not None
    os.kill(child, signal.SIGSTOP)

    process.end()

    assert process._process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "expected"), [(-11, "signal SIGSEGV"), (71, "exit code 71"), (0, "exit code 0"), (None, "exit code None")]
)
def test_how_a_process_ended_is_told_by_the_name_of_its_signal_or_by_its_code(code: int | None, expected: str) -> None:
    assert _exit_text(code) == expected
