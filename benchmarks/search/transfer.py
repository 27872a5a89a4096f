"""What is the past of another study worth to a search? `sampler.transfer_from` on tasks that are related, or are not.

    python benchmarks/search/transfer.py OUT.tsv [--seeds 16] [--processes K]
    python benchmarks/search/transfer.py OUT.tsv --report

The problem is `synthetic` of problems.py; the other study is a search of 100 trials by sampler `model` of

    related     a task whose numbers for kinds, places and pairs, and for the lr of kinds, correlate with those of this
                one by 0.8; the optima of depth, lr and weight decay are its own, its losses are 3 times as far apart
                and 2 nats higher
    unrelated   a task drawn on its own
    shuffled    `related`, its losses dealt out anew among its trials: a past that says nothing

`none` is the search without another study. A run is a row: after each trial the true regret of the incumbent.
--report: the mean regret over trials 9 to 40 and 20 to 100, and its ratio to `none` over paired seeds (report.py).
"""

import argparse
import csv
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from problems import NOISE, PROBLEMS, Problem
from report import compare
from synthetic import Synthetic

from growlab.domains import Fixed
from growlab.layout import parse
from growlab.plugins import load_plugins
from growlab.records import PastTrial, TrialState
from growlab.search.configuration import Configuration
from growlab.search.propose import propose
from growlab.seeds import derived_seed
from growlab.study import Study, Transferred

ARMS = ("none", "related", "unrelated", "shuffled")
TRIALS, THERE, ALIKE = 100, 100, 0.8
SPANS = ((9, 40), (20, 100))
COLUMNS = ("arm", "seed", "regrets")


def related(seed: int) -> Synthetic:
    own, other = Synthetic(seed), Synthetic(derived_seed(seed, "related"))
    for name in ("kind", "place", "pair", "lr_of_kind"):
        mixed = ALIKE * getattr(own, name) + (1 - ALIKE**2) ** 0.5 * getattr(other, name)
        setattr(other, name, mixed)
    return other


class Task:
    """A loss over the points of a problem, with noise, on a scale of its own."""

    def __init__(self, drawn: Synthetic, seed: int, scale: float = 1.0, level: float = 0.0) -> None:
        self.drawn, self.seed, self.scale, self.level = drawn, seed, scale, level

    def observe(self, point: Configuration) -> float:
        names = [block.kind for block in point.layout.blocks]
        loss = self.drawn.loss(names, float(point.params["train.lr"]), float(point.params["train.weight_decay"]))
        rng = random.Random(derived_seed(self.seed, point.layout, sorted(point.params.items()), "noise there"))
        return self.level + self.scale * (loss + rng.gauss(0, NOISE))


def searched(study: Study, problem: Problem, task: Task, n_trials: int) -> list[PastTrial]:
    past: list[PastTrial] = []
    for number in range(n_trials):
        proposal = propose(study, past, number, problem.kinds, problem.measure)
        point = Configuration(layout=parse(proposal.spec.layout), params=proposal.params)
        past.append(_row(number, point, task.observe(point)))
    return past


def _row(number: int, point: Configuration, value: float) -> PastTrial:
    return PastTrial(
        number=number, state=TrialState.COMPLETED, layout=str(point.layout), params=dict(point.params), value=value
    )


@cache
def past_of(arm: str, seed: int) -> Sequence[PastTrial]:
    """The trials of the other study."""
    problem, there = PROBLEMS["synthetic"](seed, None), derived_seed(seed, "there")
    if arm == "shuffled":
        past = past_of("related", seed)
        values = [trial.value for trial in past]
        random.Random(there).shuffle(values)
        return [replace(trial, value=value) for trial, value in zip(past, values, strict=True)]
    task = Task(related(seed), there, 3.0, 2.0) if arm == "related" else Task(Synthetic(there), there, 3.0, 2.0)
    return searched(problem.study("model", seed=there % 2**31, n_trials=THERE), problem, task, THERE)


def run(job: tuple[str, int]) -> dict[str, object]:
    arm, seed = job
    problem = PROBLEMS["synthetic"](seed, None)
    study = problem.study("model", seed=seed, n_trials=TRIALS)
    if arm != "none":
        scalars = {name: domain for name, domain in study.scalars().items() if not isinstance(domain, Fixed)}
        lent = Transferred(scalars=scalars, trials=tuple(past_of(arm, seed)))
        study = replace(study, sampler=replace(study.sampler, transfer_from="there", transferred=lent))
    past: list[PastTrial] = []
    incumbent, regret, regrets = float("inf"), 0.0, []
    for number in range(TRIALS):
        proposal = propose(study, past, number, problem.kinds, problem.measure)
        point = Configuration(layout=parse(proposal.spec.layout), params=proposal.params)
        value = problem.observe(point)
        past.append(_row(number, point, value))
        if value is not None and value < incumbent:
            incumbent, regret = value, problem.true(point) - problem.best
        regrets.append(f"{regret:.4g}")
    return dict(zip(COLUMNS, (arm, seed, " ".join(regrets)), strict=True))


def report(rows: list[dict[str, str]]) -> None:
    found = {arm: {row["seed"]: row for row in rows if row["arm"] == arm} for arm in ARMS}
    for first, last in SPANS:
        print(f"trials {first} to {last}\n{'arm':12}{'seeds':>6}{'regret':>9}{'s.e.':>8}   to none")
        regrets = {
            arm: {seed: fmean(map(float, row["regrets"].split()[first - 1 : last])) for seed, row in own.items()}
            for arm, own in found.items()
        }
        for arm in filter(found.get, ARMS):
            ratio, seeds = "", sorted(regrets[arm].keys() & regrets["none"].keys())
            if arm != "none" and len(seeds) > 1:
                mean, low, high, p = compare(*([regrets[one][seed] for seed in seeds] for one in (arm, "none")))
                ratio = f"{mean:.2f} [{low:.2f}, {high:.2f}]  p {p:.2g}"
            own = list(regrets[arm].values())
            error = float(np.std(own, ddof=1)) / len(own) ** 0.5 if len(own) > 1 else float("nan")
            print(f"{arm:12}{len(own):6}{fmean(own):9.4f}{error:8.4f}   {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    csv.field_size_limit(1 << 24)
    rows = list(csv.DictReader(asked.out.open(), delimiter="\t")) if asked.out.exists() else []
    if asked.report:
        report(rows)
        return
    load_plugins()
    there = {(row["arm"], int(row["seed"])) for row in rows}
    jobs = [(arm, seed) for seed in range(asked.seeds) for arm in asked.arms]
    with asked.out.open("a", newline="") as file, get_context("fork").Pool(asked.processes) as pool:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if not rows:
            writer.writeheader()
        for row in pool.imap_unordered(run, [job for job in jobs if job not in there], chunksize=len(asked.arms)):
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
