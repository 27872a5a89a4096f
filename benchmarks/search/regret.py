"""Judge searches on problems whose every answer is known, by the true regret of what they would have picked.

    python benchmarks/search/regret.py OUT.tsv --problems complete synthetic --searches evolution tpe gp=20 \\
        --seeds 60 [--macro PATH] [--processes K]
    python benchmarks/search/regret.py OUT.tsv --report [--of evolution …]

Appends a row for each run, a problem with a search and a seed (gp=20: the first 20 seeds alone), that is not there yet;
interrupted, the same command goes on. After each trial the incumbent is the point with the lowest *observed* value; its
regret is what its *true* value is above the best of the space. --report compares each search of --of with every other
one, seed by seed (report.py).
"""

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import process_time

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process is one search; said before numpy and torch are loaded

from problems import PROBLEMS, Problem
from report import report
from searches import RIVALS, is_search, make_search

from growlab.plugins import load_plugins

COLUMNS = ("problem", "search", "seed", "trials", "distinct", "cpu_s", "regrets")


@dataclass(frozen=True, kw_only=True)
class Job:
    problem: str
    search: str
    seed: int
    trials: int
    macro: Path | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What a row of it begins with."""
        return self.problem, self.search, str(self.seed), str(self.trials)


def run(job: Job) -> dict[str, object]:
    """One search on one problem. CPU seconds are the search's own."""
    problem = PROBLEMS[job.problem](job.seed, job.macro)
    began = process_time()
    search = make_search(job.search, problem, job.seed, job.trials)
    cpu_s = process_time() - began
    pool, seen, incumbent, regrets = problem.pool(), set(), float("inf"), []
    regret = problem.worst - problem.best
    for _ in range(job.trials):
        began = process_time()
        asked = search.ask()
        cpu_s += process_time() - began
        got = pool.take_nearest(asked) if pool else asked
        value = problem.observe(got)
        began = process_time()
        search.tell(got, value)
        cpu_s += process_time() - began
        seen.add(asked)
        if value is not None and value < incumbent:
            incumbent, regret = value, problem.true(got) - problem.best
        regrets.append(regret)
    row = (*job.key, len(seen), f"{cpu_s:.2f}", " ".join(f"{one:.4g}" for one in regrets))
    return dict(zip(COLUMNS, row, strict=True))


def jobs(asked: argparse.Namespace) -> Iterator[Job]:
    """Every run wanted; those that take longest come first, so that no process is left alone with one at the end."""
    searches = [_with_seeds(word, asked.seeds) for word in asked.searches]
    for name, n_seeds in sorted(searches, key=lambda known: -_cpu_s(known[0])):
        for problem in asked.problems:
            if not _is_worth_it(name, PROBLEMS[problem](0, asked.macro)):
                continue
            for seed in range(n_seeds):
                yield Job(problem=problem, search=name, seed=seed, trials=asked.trials, macro=asked.macro)


def _with_seeds(word: str, n_seeds: int) -> tuple[str, int]:
    """The search that a word such as gp=20 names, and the number of its seeds."""
    name, _, own = word.partition("=")
    if not is_search(name):
        raise SystemExit(f"no search {name!r}; there are growlab's samplers, also with ~flat, and {', '.join(RIVALS)}")
    return name, int(own or n_seeds)


def _cpu_s(name: str) -> float:
    return RIVALS[name].cpu_s if name in RIVALS else 5.0


def _is_worth_it(name: str, problem: Problem) -> bool:
    """Whether the search can be asked of this problem, and says there what no other one does."""
    if name not in RIVALS:
        return True
    low, high = problem.study().layouts.depth
    rival = RIVALS[name]
    fits = rival.for_pools if problem.entries else not rival.needs_pool
    return fits and (low < high or not rival.needs_depth)


def finish(wanted: Iterable[Job], out: Path, processes: int) -> None:
    """Run what has no row yet and append its row as it ends."""
    there = whole_rows(out)
    known = {tuple(row[column] for column in COLUMNS[:4]) for row in there}
    missing = [job for job in wanted if job.key not in known]
    write(out, there)
    with out.open("a", newline="") as file, get_context("fork").Pool(processes) as workers:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        for n, row in enumerate(workers.imap_unordered(run, missing), 1):
            writer.writerow(row)
            file.flush()
            print(f"{n} of {len(missing)}: {row['problem']} {row['search']} {row['seed']}", flush=True)


def whole_rows(out: Path) -> list[dict[str, str]]:
    """The rows that are there, without a line that an interruption cut off."""
    if not out.exists():
        return []
    with out.open(newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in table if len((row["regrets"] or "").split()) == int(row["trials"] or -1)]


def write(out: Path, table: Sequence[dict[str, str]]) -> None:
    whole = out.with_suffix(".part")
    with whole.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    whole.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--searches", nargs="+", metavar="NAME[=SEEDS]", default=["random", "tpe", "evolution"])
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="run nothing, read OUT.tsv")
    parser.add_argument("--of", nargs="+", default=["evolution"], help="searches that are compared with all others")
    asked = parser.parse_args()
    if asked.report:
        print(report(whole_rows(asked.out), asked.of))
        return
    load_plugins()
    finish(jobs(asked), asked.out, asked.processes)


if __name__ == "__main__":
    main()
