"""Starting workers of this machine together: all are there, or none."""

import signal
import subprocess
import sys
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import pytest

from growlab.errors import ArtifactsError
from growlab.fleet.local import launch

STORAGE = "sqlite:///growlab.db"


def test_a_stop_in_the_middle_of_starting_workers_loses_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT in Popen, after the process is there and before anybody knows it."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*words: Any, **how: Any) -> subprocess.Popen[bytes]:
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **how))
        signal.raise_signal(SIGINT)
        return started[-1]

    monkeypatch.setattr("growlab.fleet.local.subprocess.Popen", popen)
    how: Any = {"storage_url": STORAGE, "artifacts": tmp_path, "logs": tmp_path, "extra": []}

    with pytest.raises(KeyboardInterrupt), launch("tiny", ["cpu", "cpu"], **how):
        pytest.fail("it was interrupted")

    assert [each.poll() for each in started] == [-SIGTERM] * 2


def test_a_worker_that_cannot_be_started_takes_the_others_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*words: Any, **how: Any) -> subprocess.Popen[bytes]:
        if started:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **how))
        return started[-1]

    monkeypatch.setattr("growlab.fleet.local.subprocess.Popen", popen)
    how: Any = {"storage_url": STORAGE, "artifacts": tmp_path, "logs": tmp_path, "extra": []}

    with pytest.raises(ArtifactsError, match="Resource temporarily unavailable"), launch("t", ["cpu"] * 2, **how):
        pytest.fail("it could not start")

    assert [each.poll() for each in started] == [-SIGTERM]
