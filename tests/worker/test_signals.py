"""Who hears what asks a worker to stop; what a process leaves that ends without teardown is removed without a word."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from growlab.resources import STOPPING
from growlab.worker.signals import stop_on_signals

LEAVES = """
import multiprocessing, os
from growlab.worker.signals import signals_held

def leave():
    global kept
    kept = multiprocessing.get_context("spawn").Lock()
    os._exit(0)

if __name__ == "__main__":
    with signals_held():
        process = multiprocessing.get_context("spawn").Process(target=leave)
        process.start()
    process.join()
    assert "PYTHONWARNINGS" not in os.environ
"""


def test_a_semaphore_that_a_child_leaves_is_removed_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    (tmp_path / "leaves.py").write_text(LEAVES)

    ended = subprocess.run([sys.executable, tmp_path / "leaves.py"], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.fixture
def asked() -> list[bool]:
    return []


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Every signal interrupts at first, also where the tests run under nohup, which has SIGHUP ignored."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_that_is_ignored_stays_so(asked: list[bool]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with stop_on_signals(lambda: asked.append(True)):
        os.kill(os.getpid(), signal.SIGHUP)

    assert asked == []


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
def test_whatever_asks_to_stop_is_heard_and_interrupts_nothing(number: signal.Signals, asked: list[bool]) -> None:
    with stop_on_signals(lambda: asked.append(True)):
        os.kill(os.getpid(), number)

    assert asked == [True]


def test_a_second_ctrl_c_interrupts_unless_a_trial_is_being_given_back(asked: list[bool]) -> None:
    with stop_on_signals(lambda: asked.append(True)) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        with signals.uninterrupted():
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # on the way out: one was enough

    assert len(asked) == 6
