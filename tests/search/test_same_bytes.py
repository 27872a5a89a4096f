"""A decision of the model is the same whatever a machine computes with: threads of BLAS and instruction sets."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "search"
N_HISTORIES, LONGEST = 3, 60
ASK = f"import same_bytes, json; print(json.dumps(same_bytes.proposals({N_HISTORIES}, {LONGEST})))"
# what a study needs to be read, and no torch
BEFORE = "import growlab.growth.protocol, growlab.search; "


@pytest.fixture
def proposals() -> Callable[[int, int], list[dict[str, Any]]]:
    """What the model proposes after histories of 30 trials to so many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import same_bytes
    return same_bytes.proposals


def decided(proposals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of them but their predictions, whose last digits no decision rests on."""
    return [
        {**each, "decision": {key: value for key, value in each["decision"].items() if key != "predicted"}}
        for each in proposals
    ]


def test_two_threads_and_other_instructions_decide_the_same(proposals: Callable[..., list[dict[str, Any]]]) -> None:
    """OpenBLAS with two threads and the instructions of 2004: its sums differ in their last digits."""
    way = {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott"}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]), **way}

    done = subprocess.run([sys.executable, "-c", BEFORE + ASK], env=env, capture_output=True, text=True, check=True)
    here, there = proposals(N_HISTORIES, LONGEST), json.loads(done.stdout)

    assert {each["decision"]["origin"] for each in here} == {"model"}
    assert decided(there) == decided(json.loads(json.dumps(here)))
