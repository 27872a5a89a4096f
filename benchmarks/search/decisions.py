"""How long does one decision of sampler `model` take, and how much memory, after thousands of trials?

    python benchmarks/search/decisions.py [--finished 3000 10000 20000] [--decisions 120] [--profile]

The space is that of deep.yaml, with 16 searched scalars and a growth plan; the past is drawn at random, with made-up
losses that depend on all of it. Each decision comes after one trial more has ended. Times are CPU time of this process
with one thread for BLAS (time.process_time): other work on the machine hardly counts, but for shared caches and cores.
The first decision reads and learns all of the past, and is told by itself: a worker makes it once. Memory is the
highest resident size above that before the past was read, the past itself counted; each size is a process of its own.
"""

import argparse
import cProfile
import math
import os
import pstats
import random
import resource
import statistics
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from time import process_time

if __name__ == "__main__":
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"

from problems import HERE, N_CHARACTERS

from growlab.kinds import KINDS
from growlab.model.cost import Costs
from growlab.plugins import load_plugins
from growlab.records import PastTrial, TrialState
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.candidates import draw_scalars
from growlab.search.propose import propose
from growlab.search.random_layouts import random_layout
from growlab.search.scale import to_scale
from growlab.search.space import check_space
from growlab.seeds import derived_seed
from growlab.study import Study
from growlab.study.reading import study_from_mapping
from growlab.yaml_file import read_yaml

TRAIN = {
    "lr": {"low": 5e-4, "high": 2e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.2},
    "weight_decay": {"low": 0.01, "high": 0.5, "log": True},
    "warmup_fraction": {"low": 0.02, "high": 0.2},
    "decay_fraction": {"low": 0.1, "high": 0.6},
    "min_lr_ratio": {"low": 0.01, "high": 0.3, "log": True},
    "decay_shape": ["linear", "cosine"],
    "beta1": {"low": 0.8, "high": 0.95},
    "beta2": [0.95, 0.99, 0.999],
    "grad_clip": {"low": 0.3, "high": 3.0, "log": True},
    "batch_size": [16, 32, 64],
}
GROWTH = {
    "preset": "early-double",
    "trigger": {"at": {"shares": 0.1}},
    "entry_scale": [0.0, 0.3, 1.0],
    "rewarm_steps": {"low": 10, "high": 200},
    "new_lr_factor": {"low": 0.5, "high": 2.0, "log": True},
    "moment_scale": {"low": 0.0, "high": 1.0},
    "freeze_steps": [0, 20, 50],
}
N_SCALARS = 16


def made_study(n_trials: int) -> Study:
    written = read_yaml(HERE / "deep.yaml")
    sections = {"train": {**written["train"], **TRAIN}, "growth": GROWTH, "sampler": "model", "n_trials": n_trials}
    study = study_from_mapping({**written, **sections})
    check_space(study, KINDS)
    return study


class Past:
    """Trials as they end, each a random point of the space."""

    def __init__(self, study: Study) -> None:
        self.study, self.rng = study, random.Random(0)
        self.menu, self.domains = Menu(study.layouts, KINDS), study.scalars()
        self.weight = {name: random.Random(derived_seed(name)).uniform(0.02, 0.2) for name in self.domains}
        self.trials: list[PastTrial] = []

    def end_one(self) -> None:
        point = Configuration(random_layout(self.rng, self.menu), draw_scalars(self.rng, self.domains))
        row = PastTrial(
            number=len(self.trials),
            state=TrialState.COMPLETED,
            layout=str(point.layout),
            params=dict(point.params),
            value=self._loss(point),
        )
        self.trials.append(row)

    def _loss(self, point: Configuration) -> float:
        names = [block.kind for block in point.layout.blocks]
        kinds = sum(random.Random(derived_seed(name)).uniform(0, 1) for name in names) / len(names)
        scalars = sum(
            self.weight[name] * (to_scale(self.domains[name], value) - 0.4) ** 2 for name, value in point.params.items()
        )
        return 2 + kinds + scalars + 0.1 * abs(math.log(len(names) / 7)) + self.rng.gauss(0, 0.01)


def measure(n_finished: int, n_decisions: int, profile: bool) -> None:
    load_plugins()
    study, costs = made_study(n_finished + n_decisions + 1), Costs(N_CHARACTERS)
    assert len([name for name, value in study.scalars().items() if type(value).__name__ != "Fixed"]) == N_SCALARS
    past = Past(study)
    for _ in range(10):
        past.end_one()
    propose(study, past.trials, 10, KINDS, costs)  # imports, and whatever is made once
    before = _resident()
    while len(past.trials) < n_finished:
        past.end_one()
    began = process_time()
    propose(study, past.trials, n_finished, KINDS, costs)
    first = process_time() - began
    took, origins = [], []
    profiler = cProfile.Profile()
    for _ in range(n_decisions):
        past.end_one()
        trials = [replace(trial) for trial in past.trials]  # as a worker reads them from the database each time
        if profile:
            profiler.enable()
        began = process_time()
        made = propose(study, trials, len(trials), KINDS, costs)
        took.append(1000 * (process_time() - began))
        profiler.disable()
        origins.append(made.decision.origin)
    took.sort()
    p95 = took[math.ceil(0.95 * len(took)) - 1]
    above = _peak() - before
    print(
        f"{n_finished:8}{n_decisions:11}{statistics.fmean(took):9.0f}{statistics.median(took):9.0f}{p95:9.0f}"
        f"{took[-1]:9.0f}{1000 * first:10.0f}{above / 2**20:10.0f}{origins.count('model'):10}",
        flush=True,
    )
    if profile:
        pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(30)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--finished", type=int, nargs="+", default=[3000, 10_000, 20_000])
    parser.add_argument("--decisions", type=int, default=120)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    print(f"{'finished':>8}{'decisions':>11}{'mean ms':>9}{'median':>9}{'p95':>9}{'most':>9}", end="")
    print(f"{'first':>10}{'MiB more':>10}{'by model':>10}", flush=True)
    for n_finished in asked.finished:
        process = get_context("spawn").Process(target=measure, args=(n_finished, asked.decisions, asked.profile))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
