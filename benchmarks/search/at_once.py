"""What does a search lose that has 100 workers? Regret per finished trial, beside that of one at a time.

    python benchmarks/search/at_once.py OUT.tsv [--seeds 6] [--workers 1 100] [--trials 1000] [--processes K]
    python benchmarks/search/at_once.py OUT.tsv --report

The problem is `synthetic` of problems.py, the search growlab's sampler `model`. Each worker asks for the next trial as
soon as its own has ended; how long a trial takes is drawn for it, log-normal with a sigma of 0.3, so that they end in
another order than they began. Of those that run the search knows what they try, and not what will come of it. A run is
a row: after each trial that *ended* the true regret of the incumbent, the trial with the lowest observed value so far.
--report: the mean regret over ends 200 to 1,000, and its ratio to that of one worker over paired seeds (report.py).
"""

import argparse
import csv
import os
import random
from heapq import heappop, heappush
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from time import process_time

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from problems import PROBLEMS
from report import compare

from growlab.layout import parse
from growlab.plugins import load_plugins
from growlab.records import PastTrial, TrialState
from growlab.search.configuration import Configuration
from growlab.search.past import loss_of
from growlab.search.propose import propose
from growlab.seeds import derived_seed

FIRST_JUDGED, SPREAD = 200, 0.3
COLUMNS = ("seed", "workers", "trials", "cpu_s", "regrets")


def run(job: tuple[int, int, int]) -> dict[str, object]:
    seed, n_workers, n_trials = job
    problem = PROBLEMS["synthetic"](seed, None)
    study = problem.study("model", seed=seed, n_trials=n_trials)
    past: list[PastTrial] = []
    points: list[Configuration] = []
    ends: list[tuple[float, int]] = []
    now, cpu_s, incumbent, regret, regrets = 0.0, 0.0, float("inf"), 0.0, []
    while len(regrets) < n_trials:
        while len(ends) < n_workers and len(past) < n_trials:
            number, began = len(past), process_time()
            proposal = propose(study, past, number, problem.kinds, problem.measure)
            cpu_s += process_time() - began
            points.append(Configuration(layout=parse(proposal.spec.layout), params=proposal.params))
            past.append(_row(number, TrialState.RUNNING, points[number], None))
            takes = random.Random(derived_seed(seed, number, "duration")).lognormvariate(0, SPREAD)
            heappush(ends, (now + takes, number))
        now, number = heappop(ends)
        past[number] = _row(number, TrialState.COMPLETED, points[number], problem.observe(points[number]))
        if (loss := loss_of(past[number])) < incumbent:
            incumbent, regret = loss, problem.true(points[number]) - problem.best
        regrets.append(regret)
    row = (seed, n_workers, n_trials, f"{cpu_s:.1f}", " ".join(f"{one:.4g}" for one in regrets))
    return dict(zip(COLUMNS, row, strict=True))


def _row(number: int, state: TrialState, point: Configuration, value: float | None) -> PastTrial:
    return PastTrial(number=number, state=state, layout=str(point.layout), params=dict(point.params), value=value)


def report(rows: list[dict[str, str]]) -> None:
    print(
        f"{'workers':>8}{'seeds':>7}{f'regret {FIRST_JUDGED}–':>12}{'last':>9}{'ms a decision':>15}   to one at a time"
    )
    by_workers: dict[int, dict[str, dict[str, str]]] = {}
    for row in rows:
        by_workers.setdefault(int(row["workers"]), {})[row["seed"]] = row
    for workers, own in sorted(by_workers.items()):
        ratio, paired = "", sorted(own.keys() & by_workers.get(1, {}).keys())
        if workers != 1 and len(paired) > 1:
            mean, low, high, p = compare(*([_regret(by_workers[n][seed]) for seed in paired] for n in (workers, 1)))
            ratio = f"{mean:.2f} [{low:.2f}, {high:.2f}]  p {p:.2g}"
        regret = fmean(map(_regret, own.values()))
        last = fmean(float(row["regrets"].split()[-1]) for row in own.values())
        ms = fmean(1000 * float(row["cpu_s"]) / int(row["trials"]) for row in own.values())
        print(f"{workers:8}{len(own):7}{regret:12.4f}{last:9.4f}{ms:15.0f}   {ratio}")


def _regret(row: dict[str, str]) -> float:
    return fmean(map(float, row["regrets"].split()[FIRST_JUDGED - 1 :]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    csv.field_size_limit(1 << 24)
    rows = list(csv.DictReader(asked.out.open(), delimiter="\t")) if asked.out.exists() else []
    if asked.report:
        report(rows)
        return
    load_plugins()
    there = {(int(row["seed"]), int(row["workers"]), int(row["trials"])) for row in rows}
    jobs = [(seed, workers, asked.trials) for seed in range(asked.first_seed, asked.seeds) for workers in asked.workers]
    with asked.out.open("a", newline="") as file, get_context("fork").Pool(asked.processes) as pool:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if not rows:
            writer.writeheader()
        for row in pool.imap_unordered(run, [job for job in jobs if job not in there]):
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
