"""growlab … | head: whoever reads may stop, and that is no failure."""

import os
import subprocess
import sys

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
