"""How much CPU time do simulations of whole fleets take?

    python benchmarks/search/simulate.py CORPUS [--cases random model rungs] [--share 1.0]

    random   1,000 workers, 10,000 trials of sampler random
    model    100 workers, 2,000 trials that the model proposes
    rungs    the same with rungs at a quarter and a half of the budget

The space is that of deep.yaml, trainings are looked up in tables/deep.tsv.xz, workers differ in speed and die. Times
are of the CPU, of this process, with one thread for BLAS; 1e6 additions of a Python loop say how fast the core is. With
--share a case has as many trials as that share of its own.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from time import process_time

if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"

from growlab import api

HERE = Path(__file__).parent
FLOPS = 6_000_000_000_000  # of a trial with rungs
CASES: Mapping[str, tuple[int, int, tuple[str, ...]]] = {  # workers, trials, what the study says
    "random": (1000, 10_000, ("sampler=random",)),
    "model": (100, 2000, ("sampler=model",)),
    "rungs": (100, 2000, ("sampler=model", f"budget={{flops: {FLOPS}}}", "rungs={first: 0.25, factor: 2}")),
}


def additions_s() -> float:
    began, total = process_time(), 0
    for number in range(1_000_000):
        total += number
    return process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--share", type=float, default=1.0)
    asked = parser.parse_args()
    print(f"{'case':8}{'workers':>8}{'trials':>8}{'promoted':>10}{'deaths':>8}{'CPU s':>9}{'1e6 additions, ms':>19}")
    for case in asked.cases:
        n_workers, n_trials, said = CASES[case]
        n_trials = round(asked.share * n_trials)
        began = process_time()
        found = api.simulate(
            HERE / "deep.yaml",
            HERE / "tables" / "deep.tsv.xz",
            [f"n_trials={n_trials}", f"data.path={asked.corpus.absolute()}", *said],
            workers=n_workers,
            stragglers=0.3,
            dies_every_s=600,
            flops_per_s=1e11,
            vocab_size=65,
            tell=lambda line: None,
        )
        cpu_s, speed = process_time() - began, 1000 * additions_s()
        print(
            f"{case:8}{n_workers:8}{n_trials:8}{found.n_promotions:10}{found.n_deaths:8}{cpu_s:9.1f}{speed:19.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
