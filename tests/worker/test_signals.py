"""What a process leaves that ends without teardown is removed without a word."""

import subprocess
import sys
from pathlib import Path

import pytest

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
