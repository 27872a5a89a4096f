"""Does a search learn what fails? Where about 30 % of a table fails, beside the same search that is told what does.

    python benchmarks/search/failures.py OUT.tsv [--seeds 60] [--macro PATH] [--processes K] [--cases macro-size …]
        [--arms model told]
    python benchmarks/search/failures.py OUT.tsv --report

    complete-lr      the highest learning rate fails, and with four blocks the next one too
    complete-pair    layouts in which an MLP follows an attention fail
    complete-size    the 30 % with the most parameters fail
    macro-pair       networks with two MBConv6 next to each other in the lower five places fail
    macro-size       the 30 % with the most parameters fail; accuracy rises with size: the best lie at the border

Each run is 200 trials of `model`; `told` is the same search with the truth in place of its predictions of failure, and
`tpe` is Optuna's. A run is a row: which trials failed, and the true regret of the incumbent after each, against the
best point that runs. --report: the share of trials 101 to 200 that fail, the mean regret over trials 20 to 200, and its
ratio to that of `told` over paired seeds (bootstrap, as in report.py).
"""

import argparse
import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from problems import OPERATIONS, PROBLEMS, Problem, complete_points, macro_points
from report import compare
from searches import make_search

from growlab.plugins import load_plugins
from growlab.search.configuration import Configuration
from growlab.search.model import suggesting

TRIALS, FIRST_READ, FIRST_JUDGED = 200, 20, 100
ARMS = ("model", "told", "tpe")
COLUMNS = ("case", "arm", "seed", "failed", "regrets")
Fails = Callable[[Configuration], bool]


@dataclass(frozen=True)
class Case:
    problem: str
    points: Callable[[Path | None], list[Configuration]]  # all that there are
    fails: Callable[[Path | None], Fails]


def _kinds(point: Configuration) -> tuple[str, ...]:
    return tuple(block.kind for block in point.layout.blocks)


def _high_lr(macro: Path | None) -> Fails:
    return lambda point: point.params["train.lr"] >= (0.008 if point.layout.depth == 4 else 0.016)


def _attention_then_mlp(macro: Path | None) -> Fails:
    return lambda point: ("attn", "mlp") in set(zip(_kinds(point), _kinds(point)[1:], strict=False))


def _two_wide(macro: Path | None) -> Fails:
    return lambda point: ("mbconv6", "mbconv6") in set(zip(_kinds(point)[:4], _kinds(point)[1:5], strict=True))


def _large_layout(macro: Path | None) -> Fails:
    measure = PROBLEMS["complete"](0, None).measure
    border = np.quantile([measure(point.layout) for point in complete_points()], 0.7)
    return lambda point: measure(point.layout) > border


def _large_network(macro: Path | None) -> Fails:
    assert macro is not None
    sizes = {code: row["params"] for code, row in json.loads(macro.read_text()).items()}
    border = np.quantile(list(sizes.values()), 0.7)
    return lambda point: sizes["".join(str(OPERATIONS.index(kind)) for kind in _kinds(point))] > border


CASES: Mapping[str, Case] = {
    "complete-lr": Case("complete", lambda _: complete_points(), _high_lr),
    "complete-pair": Case("complete", lambda _: complete_points(), _attention_then_mlp),
    "complete-size": Case("complete", lambda _: complete_points(), _large_layout),
    "macro-pair": Case("macro", lambda _: macro_points(), _two_wide),
    "macro-size": Case("macro", lambda _: macro_points(), _large_network),
}


@cache
def _table(case: str, macro: Path | None) -> tuple[Fails, float, float]:
    """What fails, its share of all points, and the best true value of those that run."""
    known = CASES[case]
    problem, fails, points = PROBLEMS[known.problem](0, macro), known.fails(macro), known.points(macro)
    runs = [problem.true(point) for point in points if not fails(point)]
    return fails, 1 - len(runs) / len(points), min(runs)


class Truth:
    """In place of a model of failures."""

    def __init__(self, fails: Fails) -> None:
        self._fails = fails

    def survival(self, asked: list[Configuration]) -> np.ndarray:
        return np.array(
            [0.0 if self._fails(Configuration(layout=one.layout, params=one.params)) else 1.0 for one in asked]
        )


def run(job: tuple[str, str, int, Path | None]) -> dict[str, object]:
    case, arm, seed, macro = job
    fails, _, best = _table(case, macro)
    problem: Problem = PROBLEMS[CASES[case].problem](seed, macro)
    search = make_search("model" if arm == "told" else arm, problem, seed, TRIALS)
    failed, regrets, incumbent, regret = "", [], float("inf"), problem.worst - best
    look_ahead = suggesting.look_ahead

    def told(*past: object) -> object:
        return replace(look_ahead(*past), _failing=Truth(fails))

    with patch.object(suggesting, "look_ahead", told if arm == "told" else look_ahead):
        for _ in range(TRIALS):
            point = search.ask()
            value = None if fails(point) else problem.observe(point)
            search.tell(point, value)
            failed += "01"[value is None]
            if value is not None and value < incumbent:
                incumbent, regret = value, problem.true(point) - best
            regrets.append(f"{regret:.4g}")
    return dict(zip(COLUMNS, (case, arm, seed, failed, " ".join(regrets)), strict=True))


def report(rows: list[dict[str, str]], macro: Path | None) -> None:
    print(f"{'case':16}{'arm':7}{'seeds':>6}{'failed, 101 to 200':>20}{'regret':>9}   to told")
    for case in CASES:
        found = {arm: {row["seed"]: row for row in rows if (row["case"], row["arm"]) == (case, arm)} for arm in ARMS}
        regrets = {arm: {seed: _regret(row) for seed, row in found[arm].items()} for arm in ARMS}
        for arm in filter(found.get, ARMS):
            judged = [row["failed"][FIRST_JUDGED:].count("1") / (TRIALS - FIRST_JUDGED) for row in found[arm].values()]
            seeds = sorted(found[arm].keys() & found["told"].keys())
            ratio = ""
            if arm != "told" and len(seeds) > 1:
                mean, low, high, _ = compare(*([regrets[one][seed] for seed in seeds] for one in (arm, "told")))
                ratio = f"{mean:.2f} [{low:.2f}, {high:.2f}]"
            print(f"{case:16}{arm:7}{len(judged):6}{fmean(judged):20.1%}{fmean(regrets[arm].values()):9.4f}   {ratio}")


def _regret(row: Mapping[str, str]) -> float:
    return fmean(float(one) for one in row["regrets"].split()[FIRST_READ - 1 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--macro", type=Path, help="nas-bench-macro_cifar10.json; without it its cases are left out")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    csv.field_size_limit(1 << 24)
    rows = list(csv.DictReader(asked.out.open(), delimiter="\t")) if asked.out.exists() else []
    if asked.report:
        report(rows, asked.macro)
        return
    there = {(row["case"], row["arm"], int(row["seed"])) for row in rows}
    cases = [case for case in asked.cases if asked.macro or CASES[case].problem != "macro"]
    keys = [(case, arm, seed) for seed in range(asked.seeds) for case in cases for arm in asked.arms]
    with (
        asked.out.open("a", newline="") as file,
        get_context("spawn").Pool(asked.processes, initializer=partial(load_plugins, ())) as pool,
    ):
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if not rows:
            writer.writeheader()
        for row in pool.imap_unordered(run, [(*key, asked.macro) for key in keys if key not in there]):
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
