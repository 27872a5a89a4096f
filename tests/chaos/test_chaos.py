"""Workers are killed and left without a database, and no trial is lost or differs in a bit: the short form."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="trainers are found in /proc")


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[dict[str, Any]]:
    """Of all runs at once: what takes long is to import torch."""
    command = [sys.executable, str(repository / "tests" / "chaos"), "--short", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert done.returncode in (0, 1), done.stderr
    return found


def runs(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["name"] == name] or pytest.skip("no PostgreSQL can be started")


def test_kills_at_any_instant_cost_no_trial_and_no_bit(rows: list[dict[str, Any]]) -> None:
    assert [row["problems"] for row in runs(rows, "storm") if row["problems"]] == []


def test_a_database_that_is_away_for_longer_than_a_lease_costs_no_attempt(rows: list[dict[str, Any]]) -> None:
    assert [row["problems"] for row in runs(rows, "outage") if row["problems"]] == []
