"""Judge searches of several objectives on real trainings, by the hypervolume of what they have tried.

    python benchmarks/search/objectives.py OUT.tsv --problems complete deep --objectives two three \\
        --searches model evolution random nsga2 tpe --seeds 20 [--processes K]
    python benchmarks/search/objectives.py OUT.tsv --report [--of model]

    two      val_loss and params
    three    these and flops_per_token
    state    these two and state_size: what attention pays, and params do not tell

`evolution`, `model` and `random` are growlab's samplers, asked as its workers ask them; `tpe` and `nsga2` are Optuna's
as they come, told all values of what they tried. What a search is told of a loss is what it observed, and it is judged
by true ones, of all that it tried, within one reference point for all: a tenth of each objective's range beyond the
worst entry of the table. A volume is a share of that of the table's own front, which is 1.

Each run is a row; --report has the mean share after so many trials, and what the searches of --of reach at half of the
trials that the others have, as a ratio with its interval over seeds (report.py); likewise what is missing of the whole.
"""

import argparse
import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from time import process_time

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process is one search; said before numpy is loaded

import numpy as np
from problems import N_CHARACTERS, PROBLEMS, Problem, complete_points
from report import compare
from searches import Growlab, Optuna, is_search

from growlab.domains import corners
from growlab.model.cost import Costs
from growlab.plugins import load_plugins
from growlab.search.configuration import Configuration
from growlab.search.optuna.distributions import to_optuna
from growlab.statistics.pareto import Array, hypervolume, on_front, reference_point

OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "two": ("params",),
    "three": ("params", "flops_per_token"),
    "state": ("params", "state_size"),
}
TABLES = ("complete", "deep")
EVERY = 10  # trials, from one volume to the next
COLUMNS = ("problem", "objectives", "search", "seed", "trials", "cpu_s", "volumes")


@dataclass(frozen=True)
class Judge:
    """What every entry of a table is worth, and the volume of some of them as a share of that of all."""

    problem: Problem
    costs: tuple[Callable[[Configuration], float], ...]  # of the objectives behind the loss, exact
    reference: Array
    whole: float  # hypervolume of the table's front

    @classmethod
    def of(cls, problem: Problem, objectives: str) -> "Judge":
        costs, [seq_len] = Costs(N_CHARACTERS), corners(problem.study().train["seq_len"])[:1]
        known: Mapping[str, Callable[[Configuration], float]] = {
            "params": lambda point: costs(point.layout),
            "flops_per_token": lambda point: costs.flops_per_token(point.layout, int(seq_len)),
            "state_size": lambda point: costs.state_size(point.layout, int(seq_len)),
        }
        chosen = tuple(known[name] for name in OBJECTIVES[objectives])
        points = [point for point in problem.entries or complete_points() if problem.observe(point) is not None]
        values = np.array([[problem.true(point), *(cost(point) for cost in chosen)] for point in points], dtype=float)
        reference = reference_point(values, [None] * values.shape[1])
        return cls(problem, chosen, reference, hypervolume(values, reference))

    def values(self, point: Configuration, loss: float) -> tuple[float, ...]:
        return (loss, *(cost(point) for cost in self.costs))

    def share(self, points: Sequence[Configuration]) -> float:
        """The volume of the points that did not fail, by their true losses."""
        tried = [point for point in points if self.problem.observe(point) is not None]
        values = np.array([self.values(point, self.problem.true(point)) for point in tried]).reshape(
            len(tried), 1 + len(self.costs)
        )
        return hypervolume(values[on_front(values)], self.reference) / self.whole if tried else 0.0


class GrowlabOfSeveral(Growlab):
    """A sampler of growlab in a study with these objectives."""

    def __init__(self, name: str, problem: Problem, judge: Judge, objectives: str, seed: int, n_trials: int) -> None:
        super().__init__(name, problem, seed, n_trials)
        listed = ["val_loss", *OBJECTIVES[objectives]]
        self.study = problem.study(name, seed=seed, n_trials=n_trials, objectives=listed)
        self.measure = Costs(N_CHARACTERS)


class OptunaOfSeveral(Optuna):
    """One of Optuna's samplers in a study with as many directions, told all values of what it tried."""

    def __init__(self, name: str, problem: Problem, judge: Judge, objectives: str, seed: int, n_trials: int) -> None:
        import optuna

        samplers = {"tpe": optuna.samplers.TPESampler, "nsga2": optuna.samplers.NSGAIISampler}
        super().__init__(problem, samplers[name](seed=seed))
        self.judge = judge
        directions = ["minimize"] * (1 + len(OBJECTIVES[objectives]))
        self.study = optuna.create_study(sampler=self.study.sampler, directions=directions)

    def tell(self, got: Configuration, value: float | None) -> None:
        """As with one objective: a failed trial is FAIL, an entry in place of what was asked a trial of its own."""
        from optuna.trial import TrialState as State
        from optuna.trial import create_trial

        values = None if value is None else self.judge.values(got, value)
        if got == self.asked and values is not None:
            self.study.tell(self.trial, values)
            return
        self.study.tell(self.trial, state=State.FAIL)
        if values is None:
            return
        setting = self.encoding.encode(got)
        known = [known for known in self.encoding.parameters if known.name in setting]
        self.study.add_trial(
            create_trial(
                values=values,
                params={each.name: to_optuna(each, setting[each.name]) for each in known},
                distributions={each.name: self.distributions[each.name] for each in known},
                system_attrs=self.study.get_trials(deepcopy=False)[-1].system_attrs,  # NSGA-II's generation, among them
            )
        )


RIVALS = {name: partial(OptunaOfSeveral, name) for name in ("tpe", "nsga2")}


def run(job: tuple[str, str, str, int, int]) -> dict[str, object]:
    """One search; its volume after every so many trials."""
    name, objectives, search_name, seed, trials = job
    problem = PROBLEMS[name](seed, None)
    judge = Judge.of(problem, objectives)
    make = RIVALS.get(search_name) or partial(GrowlabOfSeveral, search_name)
    search, pool = make(problem, judge, objectives, seed, trials), problem.pool()
    tried: list[Configuration] = []
    volumes: list[float] = []
    cpu_s = 0.0
    for number in range(1, trials + 1):
        began = process_time()
        asked = search.ask()
        cpu_s += process_time() - began
        got = pool.take_nearest(asked) if pool else asked
        began = process_time()
        search.tell(got, problem.observe(got))
        cpu_s += process_time() - began
        tried.append(got)
        if number % EVERY == 0:
            volumes.append(judge.share(tried))
    row = (*job, f"{cpu_s:.2f}", " ".join(f"{volume:.5f}" for volume in volumes))
    return dict(zip(COLUMNS, row, strict=True))


# ---- the report ----------------------------------------------------------------------------------------------------


def report(rows: Sequence[Mapping[str, str]], of: Sequence[str]) -> str:
    lines: list[str] = []
    for problem, objectives in dict.fromkeys((row["problem"], row["objectives"]) for row in rows):
        own = [row for row in rows if (row["problem"], row["objectives"]) == (problem, objectives)]
        found: dict[str, dict[int, list[float]]] = {}
        for row in own:
            found.setdefault(row["search"], {})[int(row["seed"])] = [float(one) for one in row["volumes"].split()]
        n = min(len(volumes) for by_seed in found.values() for volumes in by_seed.values())
        lines += ["", f"{problem}, {objectives}: val_loss, {', '.join(OBJECTIVES[objectives])}"]
        lines.append(f"  {'search':<14}{'seeds':>6}" + "".join(f"{EVERY * at:>8}" for at in range(1, n + 1)))
        for search, by_seed in found.items():
            means = [fmean(volumes[at] for volumes in by_seed.values()) for at in range(n)]
            lines.append(f"  {search:<14}{len(by_seed):>6}" + "".join(f"{mean:>8.4f}" for mean in means))
        for search in [name for name in of if name in found]:
            lines += _against_twice(found, search, n)
    return "\n".join(lines[1:])


def _against_twice(found: Mapping[str, Mapping[int, list[float]]], search: str, n: int) -> list[str]:
    """The ratio of a search's volume at half of the trials to what each other one has at all of them."""
    half, lines = n // 2, []
    for other in [name for name in found if name != search]:
        seeds = sorted(found[search].keys() & found[other].keys())
        if len(seeds) < 2:
            continue
        ours, theirs = ([found[name][seed][at - 1] for seed in seeds] for name, at in ((search, half), (other, n)))
        title = f"{search} at {EVERY * half} to {other} at {EVERY * n}"
        ratio, low, high, p = compare(ours, theirs)
        of_volume = f"volume {ratio:.4f} [{low:.4f}, {high:.4f}]"
        ratio, low, high, _ = compare([1 - volume for volume in ours], [1 - volume for volume in theirs])
        of_missing = f"missing {ratio:.2f} [{low:.2f}, {high:.2f}]"
        lines.append(f"    {title:<34}{len(seeds):>4} seeds  {of_volume}  {of_missing}  p {p:.2g}")
    return lines


# ---- rows ----------------------------------------------------------------------------------------------------------


def finish(wanted: Sequence[tuple[str, str, str, int, int]], out: Path, processes: int) -> None:
    """Run what has no row yet and append its row as it ends."""
    there = whole_rows(out)
    known = {tuple(row[column] for column in COLUMNS[:5]) for row in there}
    missing = [job for job in wanted if tuple(map(str, job)) not in known]
    with out.open("a", newline="") as file, get_context("fork").Pool(processes) as workers:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if not there:
            writer.writeheader()
        for n, row in enumerate(workers.imap_unordered(run, missing), 1):
            writer.writerow(row)
            file.flush()
            print(f"{n} of {len(missing)}: {' '.join(str(row[column]) for column in COLUMNS[:4])}", flush=True)


def whole_rows(out: Path) -> list[dict[str, str]]:
    """The rows that are there, without one that an interruption cut off."""
    if not out.exists():
        return []
    with out.open(newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in table if len((row["volumes"] or "").split()) == int(row["trials"] or -1) // EVERY]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    parser.add_argument("--problems", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=["two", "three"])
    parser.add_argument("--searches", nargs="+", default=["model", "evolution", "random", "nsga2", "tpe"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="run nothing, read OUT.tsv")
    parser.add_argument("--of", nargs="+", default=["model"], help="searches that are compared at half of the trials")
    asked = parser.parse_args()
    if asked.report:
        print(report(whole_rows(asked.out), asked.of))
        return
    load_plugins()
    if unknown := [name for name in asked.searches if not (name in RIVALS or is_search(name))]:
        raise SystemExit(f"no search {unknown[0]!r}; there are growlab's samplers, and Optuna's {', '.join(RIVALS)}")
    jobs = [
        (problem, objectives, search, seed, asked.trials)
        for seed in range(asked.seeds)
        for objectives in asked.objectives
        for problem in asked.problems
        for search in asked.searches
    ]
    finish(jobs, asked.out, asked.processes)


if __name__ == "__main__":
    main()
