"""What rungs save: searches that may stop a training at a half or a quarter of it, by what they have paid.

    python benchmarks/search/rungs.py OUT.tsv --problems complete deep --arms model model+rungs tpe+median \\
        --seeds 60 [--processes K]
    python benchmarks/search/rungs.py OUT.tsv --report

    SAMPLER                 growlab's sampler of that name, every training to its end
    SAMPLER+rungs           the same study with rungs at a quarter and a half of the budget, as `decide` decides
    model+halving           the model proposes, and halving alone says what is trained on
    tpe, tpe+median, tpe+hyperband, tpe+halving   Optuna's TPE without a pruner and with three of its own

Real trainings of 400 steps whose val_loss is known at each quarter (`problems.py`); one worker. A whole training costs
1, and a search is judged by what it has paid: after each payment the incumbent is the finished training with the lowest
*observed* loss, and its regret is that of its *true* loss. A pruned training of Optuna's is none of its incumbents, as
a paused one is none of ours. Each run is a row; --report gives the mean regret at each mark, and what the search
without rungs reaches at 100 is looked for on the way of the others.
"""

import argparse
import csv
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from time import process_time
from unittest.mock import patch

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from problems import PROBLEMS, Problem
from report import compare

from growlab.layout import parse
from growlab.plugins import load_plugins
from growlab.records import PastTrial, RungReading, TrialState
from growlab.rungs import Rungs
from growlab.search import New, Promote, decide
from growlab.search.configuration import Configuration
from growlab.search.optuna.distributions import parameter_distribution, suggested
from growlab.search.samplers.model import ModelOptions
from growlab.specs import BudgetSpec

QUARTERS = 4
BUDGET = 400  # of a study, so that marks are whole numbers
RUNGS, HALVING = "+rungs", "+halving"
MARKS = (5, 10, 20, 30, 40, 50, 60, 80, 100)  # whole trainings paid
GOALS = (50, 100)  # what a search without rungs has come to there is looked for on the way of the others
COLUMNS = ("problem", "search", "seed", "trials", "begun", "finished", "cpu_s", "regrets")


@dataclass(frozen=True)
class Paid:
    """A part of a training, in whole trainings; what it came to where that was its end."""

    share: float
    finished: Configuration | None = None
    observed: float | None = None


class Growlab:
    """A study of growlab, decided as its workers decide."""

    def __init__(self, arm: str, problem: Problem, seed: int) -> None:
        sampler, rungs, _ = arm.replace(HALVING, RUNGS).partition(RUNGS)
        study = problem.study(sampler, seed=seed, n_trials=10**6)
        rungs_of_study = Rungs(first=1 / QUARTERS, factor=2.0) if rungs else None
        self.study = replace(study, budget=BudgetSpec(unit="flops", amount=BUDGET), rungs=rungs_of_study)
        self.arm, self.problem, self.pool = arm, problem, problem.pool()
        self.past: list[PastTrial] = []
        self.points: list[Configuration] = []

    def payments(self) -> Iterator[Paid]:
        while True:
            with patch.object(ModelOptions, "weighs", HALVING not in self.arm):
                decision = decide(self.study, self.past, self.problem.kinds, self.problem.measure)
            match decision:
                case New(proposal):
                    asked = Configuration(layout=parse(proposal.spec.layout), params=proposal.params)
                    got = self.pool.take_nearest(asked) if self.pool else asked
                    self.points.append(got)
                    number = len(self.past)
                    self.past.append(
                        PastTrial(
                            number=number, state=TrialState.RUNNING, layout=str(got.layout), params=dict(got.params)
                        )
                    )
                    yield self._train(number)
                case Promote(promotion):
                    trial = self.past[promotion.trial]
                    self.past[promotion.trial] = replace(trial, may_pass=trial.may_pass + 1)
                    yield self._train(promotion.trial)
                case _:
                    raise AssertionError(decision)

    def _train(self, number: int) -> Paid:
        """Train a trial up to the rung at which it pauses, or to its end."""
        trial, point = self.past[number], self.points[number]
        shares = (*(self.study.rungs.shares if self.study.rungs else ()), 1.0)
        before = shares[trial.may_pass - 1] if trial.may_pass else 0.0
        share, curve = shares[trial.may_pass], self.problem.curve(point)
        paid = share - before
        if curve is None:
            self.past[number] = replace(trial, state=TrialState.FAILED)
            return Paid(paid)
        value = curve[round(share * QUARTERS) - 1]
        if share == 1:
            self.past[number] = replace(trial, state=TrialState.COMPLETED, value=value)
            return Paid(paid, point, value)
        mark = round(share * BUDGET)
        reading = RungReading(
            rung=trial.may_pass, step=mark, mark=mark, flops=mark, val_loss=value, bits_per_byte=None, slope=None
        )
        self.past[number] = replace(trial, state=TrialState.PAUSED, readings=(*trial.readings, reading))
        return Paid(paid)


class Optuna:
    """Optuna's TPE with one of its pruners, told at each quarter."""

    def __init__(self, arm: str, problem: Problem, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruners = {
            "": optuna.pruners.NopPruner,
            "median": optuna.pruners.MedianPruner,
            "halving": partial(optuna.pruners.SuccessiveHalvingPruner, min_resource=1, reduction_factor=2),
            "hyperband": partial(
                optuna.pruners.HyperbandPruner, min_resource=1, max_resource=QUARTERS, reduction_factor=2
            ),
        }
        self.problem, self.pool, self.encoding = problem, problem.pool(), problem.encoding
        self.study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruners[arm.partition("+")[2]](), study_name=str(seed)
        )
        self.distributions = {known.name: parameter_distribution(known) for known in self.encoding.parameters}

    def payments(self) -> Iterator[Paid]:
        from optuna.trial import TrialState as State

        while True:
            trial = self.study.ask()
            asked = self.encoding.decode(suggested(trial, self.encoding.parameters, padded=False))
            got = self.pool.take_nearest(asked) if self.pool else asked
            curve = self.problem.curve(got)
            if curve is None:
                self.study.tell(trial, state=State.FAIL)
                yield Paid(1.0)
                continue
            for quarter, value in enumerate(curve, 1):
                trial.report(value, quarter)
                if quarter < QUARTERS and trial.should_prune():
                    self.study.tell(trial, state=State.PRUNED)
                    yield Paid(quarter / QUARTERS)
                    break
            else:
                self.study.tell(trial, curve[-1])
                yield Paid(1.0, got, curve[-1])


def make(arm: str, problem: Problem, seed: int) -> Growlab | Optuna:
    return Optuna(arm, problem, seed) if arm.partition("+")[0] == "tpe" else Growlab(arm, problem, seed)


def run(job: tuple[str, str, int, int]) -> dict[str, object]:
    """One search until it has paid for `trials` whole trainings; the regret after each quarter of one."""
    name, arm, seed, trials = job
    problem = PROBLEMS[name](seed, None)
    began, search = process_time(), make(arm, problem, seed)
    paid, incumbent, regret = 0.0, float("inf"), problem.worst - problem.best
    regrets: list[float] = []
    begun = finished = 0
    for part in search.payments():
        paid, begun, before = paid + part.share, begun + 1, regret
        if part.finished is not None:
            finished += 1
            if part.observed < incumbent:
                incumbent, regret = part.observed, problem.true(part.finished) - problem.best
        while len(regrets) < trials * QUARTERS and len(regrets) + 1 <= paid * QUARTERS + 1e-9:
            regrets.append(regret if len(regrets) + 1 > paid * QUARTERS - 1e-9 else before)
        if len(regrets) == trials * QUARTERS:
            break
    cpu_s = f"{process_time() - began:.2f}"
    row = (name, arm, seed, trials, begun, finished, cpu_s, " ".join(f"{one:.4g}" for one in regrets))
    return dict(zip(COLUMNS, row, strict=True))


# ---- the report ----------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, str]]) -> None:
    for problem in dict.fromkeys(row["problem"] for row in rows):
        by_arm: dict[str, dict[int, list[float]]] = {}
        for row in rows:
            if row["problem"] == problem:
                regrets = [float(one) for one in row["regrets"].split()]
                by_arm.setdefault(row["search"], {})[int(row["seed"])] = regrets
        paid = min(len(regrets) for by_seed in by_arm.values() for regrets in by_seed.values()) // QUARTERS
        marks = [mark for mark in MARKS if mark <= paid]
        print(f"\n{problem}: mean regret after so many whole trainings were paid for")
        print(f"  {'search':<18}{'seeds':>6}" + "".join(f"{mark:>9}" for mark in marks))
        for arm, by_seed in by_arm.items():
            means = [fmean(regrets[mark * QUARTERS - 1] for regrets in by_seed.values()) for mark in marks]
            print(f"  {arm:<18}{len(by_seed):>6}" + "".join(f"{mean:>9.4f}" for mean in means))
        for arm in by_arm:
            if RUNGS in arm or arm == f"model{HALVING}":
                _compare(by_arm, arm, marks)


def _compare(by_arm: Mapping[str, Mapping[int, list[float]]], arm: str, marks: Sequence[int]) -> None:
    for other in [name for name in by_arm if name != arm]:
        seeds = sorted(by_arm[arm].keys() & by_arm[other].keys())
        if len(seeds) < 2:
            continue
        cells = []
        for mark in marks:
            one, two = ([by_arm[name][seed][mark * QUARTERS - 1] for seed in seeds] for name in (arm, other))
            ratio, low, high, _ = compare(one, two)
            cells.append(f"{mark}: {ratio:.2f} [{low:.2f}, {high:.2f}]")
        print(f"  {arm} to {other}, {len(seeds)} seeds; " + "; ".join(cells))
    without = arm.replace(HALVING, RUNGS).removesuffix(RUNGS)
    whole = by_arm.get(without)
    if whole:
        seeds = sorted(by_arm[arm].keys() & whole.keys())
        ways = np.array([by_arm[arm][seed] for seed in seeds]).mean(axis=0)
        for mark in [mark for mark in GOALS if mark <= max(marks)]:
            goal = fmean(whole[seed][mark * QUARTERS - 1] for seed in seeds)
            there = np.flatnonzero(ways <= goal)
            share = f"{(there[0] + 1) / QUARTERS / mark:.0%}" if len(there) else "more than all"
            print(f"  {arm}: the mean regret of {without} at {mark} with {share} of what that paid")


def finish(wanted: Sequence[tuple[str, str, int, int]], out: Path, processes: int) -> None:
    """Run what has no row yet and append its row as it ends."""
    there = whole(out)
    known = {(row["problem"], row["search"], row["seed"], row["trials"]) for row in there}
    missing = [job for job in wanted if tuple(map(str, job)) not in known]
    with out.open("a", newline="") as file, get_context("fork").Pool(processes) as workers:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if not there:
            writer.writeheader()
        for n, row in enumerate(workers.imap_unordered(run, missing), 1):
            writer.writerow(row)
            file.flush()
            print(f"{n} of {len(missing)}: {row['problem']} {row['search']} {row['seed']}", flush=True)


def whole(out: Path) -> list[dict[str, str]]:
    """The rows that are there, without one that an interruption cut off."""
    if not out.exists():
        return []
    with out.open(newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in table if len((row["regrets"] or "").split()) == QUARTERS * int(row["trials"] or -1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    with_curves = [name for name in PROBLEMS if name in ("complete", "deep")]
    parser.add_argument("--problems", nargs="+", choices=with_curves, default=with_curves)
    arms = ["model", "model+rungs", "random+rungs", "tpe", "tpe+median", "tpe+hyperband"]
    parser.add_argument("--arms", nargs="+", default=arms)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--trials", type=int, default=100, help="whole trainings to pay for")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="run nothing, read OUT.tsv")
    asked = parser.parse_args()
    if asked.report:
        report(whole(asked.out))
        return
    load_plugins()
    jobs = [
        (problem, arm, seed, asked.trials)
        for seed in range(asked.seeds)
        for arm in asked.arms
        for problem in asked.problems
    ]
    finish(jobs, asked.out, asked.processes)


if __name__ == "__main__":
    main()
