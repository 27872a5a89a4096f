"""Storms, outages and workers that are cut off, as a table. `make chaos` is the long form, CI runs the short one.

Ends with 1 where a run had a problem; what it was stands below its row.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from crew import Spawned
from server import Server, is_possible
from storm import References, Row, Setting, climb, cut_off, outage, storm
from study import FLOPS, N_TRIALS, RUNGS

SEED = "GROWLAB_CHAOS_SEED"
COLUMNS = "{:8} {:10} {:8} {:>5} {:>8} {:>7} {:>8} {:>4} {:>5}  {}"
HEADER = COLUMNS.format("run", "database", "workers", "seed", "attempts", "resumed", "promoted", "left", "s", "hits")
N_SHORT = 4  # trials
STOPS = ("fast", "immediate", "killed")

Run = Callable[[References], Row]


class Bench:
    """Makes settings: a folder and a database for each."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder, self.server, self._n = folder, server, 0
        self.databases = ("sqlite", "postgresql") if server else ("sqlite",)

    def setting(self, database: str, **options: Any) -> Setting:
        self._n += 1
        folder = self.folder / f"run-{self._n}"
        if database == "sqlite":
            return Setting(folder=folder, url=f"sqlite:///{folder / 'growlab.db'}", **options)
        assert self.server, "databases would not name it"
        return Setting(folder=folder, url=self.server.new_database(f"chaos_{self._n}"), **options)


def short(bench: Bench, seed: int) -> Iterator[tuple[str, Run]]:
    """Few faults to forked workers, the runs all at once: seconds. On SQLite where no PostgreSQL is possible."""
    few = {"n_trials": N_SHORT, "n_workers": 3, "longest_s": 300.0}
    database = bench.databases[-1]  # the protocol of leases is tested on both
    yield "storm", partial(storm, bench.setting(database, step_s=0.05, **few), seed=seed, n_kills=6, gap_s=0.2)
    if bench.server:
        away = {"stops": STOPS[:1], "away_s": 6.0, "between_s": 0.5}
        yield "outage", partial(outage, bench.setting("postgresql", step_s=0.1, **few), seed=seed, **away)


def long(bench: Bench, seed: int) -> Iterator[tuple[str, Run]]:
    """Many faults to forked workers, then to such as people start: half an hour, one run after the other."""
    for database in bench.databases:
        for each in range(seed, seed + 3):
            yield "storm", partial(storm, bench.setting(database, step_s=0.1), seed=each, n_kills=60, gap_s=0.3)
    for database in bench.databases:
        for each in range(seed, seed + 2):
            setting = bench.setting(database, n_workers=2, step_s=0.05, budget=FLOPS, rungs=RUNGS)
            yield "climb", partial(climb, setting, seed=each, n_kills=20, gap_s=0.5)
    spawned = {"command": Spawned, "lease_s": 3.0, "checkpoint_share": 0.02}
    for database in bench.databases:
        yield "storm", partial(storm, bench.setting(database, step_s=0.6, **spawned), seed=seed, n_kills=60, gap_s=2.0)
        yield "cut-off", partial(cut_off, bench.setting(database, n_workers=3, step_s=0.1, **spawned), seed=seed)
    if bench.server:
        away = {"stops": STOPS, "away_s": 60.0, "between_s": 10.0}
        setting = bench.setting("postgresql", command=Spawned, lease_s=8.0, step_s=1.6)
        yield "outage", partial(outage, setting, seed=seed, **away)


def main() -> int:
    asked = _arguments()
    n_problems = 0
    print(HEADER, file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="growlab-chaos-") as folder, ExitStack() as stack:
        server = stack.enter_context(Server()) if is_possible() else None
        bench = Bench(Path(folder), server)
        runs = [run for name, run in (short if asked.short else long)(bench, asked.seed) if asked.only in ("", name)]
        references = References(bench.setting, N_SHORT if asked.short else N_TRIALS)
        at_once = stack.enter_context(ThreadPoolExecutor(max(1, len(runs)) if asked.short else 1))
        for row in at_once.map(lambda run: run(references), runs):
            print(json.dumps(vars(row)) if asked.json else _line(row), flush=True)
            n_problems += len(row.problems)
        if server is None:
            print("not run: PostgreSQL, as neither initdb nor postgres was found", file=sys.stderr)
    print(f"{n_problems} problem(s)", file=sys.stderr)
    return int(n_problems > 0)


def _line(row: Row) -> str:
    hits = ", ".join(f"{n} {kind}" for kind, n in sorted(row.hits.items()))
    counts = (row.attempts, row.resumes, row.promoted, row.left, round(row.seconds))
    line = COLUMNS.format(row.name, row.database, row.command, row.seed, *counts, hits)
    return "\n".join([line, *(f"    {each}" for each in row.problems)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="seconds, as in CI, and not half an hour")
    parser.add_argument("--json", action="store_true", help="a row is an object")
    parser.add_argument("--seed", type=int, default=int(os.environ.get(SEED, "1")), help=f"default: {SEED}, or 1")
    parser.add_argument("--only", choices=("storm", "climb", "outage", "cut-off"), default="", help="one sort of run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
