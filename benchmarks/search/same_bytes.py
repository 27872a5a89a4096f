"""Are decisions of sampler `model` the same bytes with one and two BLAS threads and with other instruction sets?

    python benchmarks/search/same_bytes.py [--histories 45] [--longest 300]

Histories of 30 to 300 trials of `synthetic` of problems.py, of which some failed and some run, are drawn without any
linear algebra. For each way to compute, a process of its own proposes the next trial after each of them; the proposals,
as JSON, are compared with those of the first way, with and without what was predicted of them, whose last digits no
decision rests on. Exits with 1 where a proposal differs in anything else.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from problems import PROBLEMS

from growlab.plugins import load_plugins
from growlab.records import PastTrial, TrialState
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.candidates import draw_scalars
from growlab.search.propose import propose
from growlab.search.random_layouts import random_layout
from growlab.search.replay import as_mapping
from growlab.seeds import derived_seed

PLAIN_LOOPS = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
WAYS: Mapping[str, Mapping[str, str]] = {
    "1 thread": {"OPENBLAS_NUM_THREADS": "1"},
    "2 threads": {"OPENBLAS_NUM_THREADS": "2"},
    "Haswell (AVX2)": {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"},
    "Sandybridge (AVX)": {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Sandybridge"},
    "Prescott (SSE3)": {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Prescott"},
    "SkylakeX (AVX512)": {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "SkylakeX"},
    "NumPy without AVX": {"OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": PLAIN_LOOPS},
}


def proposals(n_histories: int, longest: int) -> list[dict[str, Any]]:
    """A proposal, as JSON, after each of histories of 30 to `longest` trials."""
    found = []
    for at in range(n_histories):
        n = 30 + (longest - 30) * at // max(n_histories - 1, 1)
        problem = PROBLEMS["synthetic"](at, None)
        study = problem.study({"name": "model", "random_share": 0.0}, seed=at, n_trials=longest + 1)
        past = history(problem, study, n, random.Random(derived_seed(at, "history")))
        found.append(as_mapping(propose(study, past, n, problem.kinds, problem.measure)))
    return found


def history(problem: Any, study: Any, n: int, rng: random.Random) -> list[PastTrial]:
    """Random trials, one in ten of them failed, and the last few still at work."""
    menu, past = Menu(study.layouts, problem.kinds), []
    for number in range(n):
        point = Configuration(random_layout(rng, menu), draw_scalars(rng, study.scalars()))
        state = TrialState.RUNNING if number >= n - 4 else TrialState.COMPLETED if rng.random() < 0.9 else None
        past.append(
            PastTrial(
                number=number,
                state=state or TrialState.FAILED,
                layout=str(point.layout),
                params=dict(point.params),
                value=problem.observe(point) if state is TrialState.COMPLETED else None,
            )
        )
    return past


def asked_in_a_process(way: Mapping[str, str], asked: argparse.Namespace) -> list[dict[str, Any]] | None:
    """None where this processor has no such instructions."""
    command = [sys.executable, __file__, "--child", f"--histories={asked.histories}", f"--longest={asked.longest}"]
    done = subprocess.run(command, env={**os.environ, **way}, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return None
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: list[dict[str, Any]] = json.loads(done.stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=45)
    parser.add_argument("--longest", type=int, default=300)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        load_plugins()
        print(json.dumps(proposals(asked.histories, asked.longest)))
        return
    first, differs = None, False
    print(f"{'computed with':22}{'proposals':>10}{'by model':>10}{'same':>6}{'same to the last digit':>24}")
    for name, way in WAYS.items():
        found = asked_in_a_process(way, asked)
        if found is None:
            print(f"{name:22}{'not on this processor':>40}")
            continue
        first = first or found
        same = sum(_decided(one) == _decided(other) for one, other in zip(found, first, strict=True))
        exact = sum(json.dumps(one) == json.dumps(other) for one, other in zip(found, first, strict=True))
        by_model = sum(one["decision"]["origin"] == "model" for one in found)
        print(f"{name:22}{len(found):10}{by_model:10}{same:6}{exact:24}", flush=True)
        differs = differs or same < len(found)
    sys.exit(int(differs))


def _decided(proposal: Mapping[str, Any]) -> str:
    decision = {key: value for key, value in proposal["decision"].items() if key != "predicted"}
    return json.dumps({**proposal, "decision": decision}, sort_keys=True)


if __name__ == "__main__":
    main()
