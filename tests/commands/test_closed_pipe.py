"""growlab … | head: whoever reads may stop, and that is no failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(("word", "unbuffered"), [("--help", ""), ("blocks", ""), ("blocks", "1")])
def test_a_reader_that_stops_is_no_failure(word: str, unbuffered: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "wb") as nobody_reads:
        outcome = subprocess.run(
            [sys.executable, "-m", "growlab", word],
            stdout=nobody_reads,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )

    assert (outcome.returncode, outcome.stderr) == (0, b"")


def test_a_closed_stdout_is_no_failure() -> None:
    command = f"{sys.executable} -m growlab report --help >&-"
    outcome = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, check=False)

    assert (outcome.returncode, outcome.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_stdout_is_said_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        outcome = subprocess.run(
            [sys.executable, "-m", "growlab", "blocks", "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )

    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1] == b"error: no space left on the disk; make room and run again"
