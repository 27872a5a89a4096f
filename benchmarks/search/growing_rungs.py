"""Do rungs favour whom has not paid for its growth yet, or whom has just paid?

    python benchmarks/search/growing_rungs.py OUT.tsv --corpus CORPUS [--seeds 24] [--processes 1]
    python benchmarks/search/growing_rungs.py OUT.tsv

Trainings of equal FLOPs that end with four units: two that double at 0.1, at 0.22 or at 0.4 of the budget, and four
from the start, each at the same learning rates, drawn over 16 ×. They are read at 0.25 and at 0.5. At 0.25 the first
has paid long ago, the second just now, the third not at all; at 0.5 all have. What doubles at 0.22 is trained once more
with a grace of 0, and so read in the middle of its recovery.

A rung that favours nobody gives each plan, in the mean, the places that it has at the end. Printed: how many places of
a hundred a plan is ahead (+) of where it ends, with an interval of 95 % over learning rates (bootstrap), by the rule of
growlab.search.rungs, without its slope, and without grace; and the rank correlation of the whole order with the end's.
OUT.tsv has a row for each training; what is there is not trained again.
"""

import argparse
import csv
import math
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # said before torch is loaded

import numpy as np
from readings import Memory
from scipy.stats import rankdata, spearmanr

from growlab.data import load_corpus
from growlab.kinds import KINDS
from growlab.model.cost import Costs
from growlab.preparation.sources import read_study
from growlab.records import Paused, RungReading, TrialResult
from growlab.rungs import Ladder, Rungs
from growlab.search.propose import propose
from growlab.search.rungs.standing import at_mark
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.device import use_device
from growlab.training.trial import run_trial

PLANS = {"never": None, "at 0.1": 0.1, "at 0.22": 0.22, "at 0.4": 0.4}
SHARES = (0.25, 0.5)
GRACE = 0.05
N_RESAMPLES = 5_000
STUDY = """
name: growing-rungs
seed: {seed}
n_trials: 1
data: {{path: {corpus}, tokenizer: char, test_fraction: 0.1}}
layouts: {{blocks: {{attn: {{}}, mlp: {{}}}}, d_model: 48, depth: {{low: 1, high: 8}}, start_with: ["{layout}"]}}
train: {{batch_size: 8, seq_len: 64, eval_every: 50, lr: {lr:.6g}}}
budget: {{flops: 1.2e11}}  # some 300 steps of four units
sampler: random
"""
GROWTH = "growth: {{preset: early-double, trigger: {{at: {{shares: {share}}}}}}}\n"
COLUMNS = (
    "plan",
    "seed",
    "lr",
    "grace",
    "state",
    "val_loss",
    *(f"{name}_{at}" for at in (0, 1) for name in ("loss", "flops", "mark", "slope")),
)
Cell = tuple[str, int, float]  # plan, seed, grace
Row = dict[str, str]


def cells(n_seeds: int) -> list[Cell]:
    return [
        (plan, seed, grace)
        for seed in range(n_seeds)
        for plan in PLANS
        for grace in ((GRACE, 0.0) if plan == "at 0.22" else (GRACE,))
    ]


def trained(cell: Cell, *, corpus: Path) -> dict[str, object]:
    plan, seed, grace = cell
    lr = math.exp(np.random.default_rng(seed).uniform(math.log(1e-3), math.log(1.6e-2)))
    n_units = 4 if PLANS[plan] is None else 2
    layout = f"d=48 (attn[n_heads=2] mlp)x{n_units}"
    text = STUDY.format(seed=seed, corpus=corpus, layout=layout, lr=lr)
    text += "" if PLANS[plan] is None else GROWTH.format(share=PLANS[plan])
    row: dict[str, object] = {"plan": plan, "seed": seed, "lr": f"{lr:.6g}", "grace": grace}
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, "study.yaml")
        file.write_text(text)
        study = read_study(str(file), ())
        data = load_corpus(study.data)
        spec = propose(study, [], 0, KINDS, Costs(data.tokenizer.vocab_size)).spec
        recorder, folder = Memory(), CheckpointFolder(Path(root), "trial")
        rungs = Rungs(first=SHARES[0], factor=2.0, grace=grace)
        for may_pass in range(len(SHARES) + 1):
            end = run_trial(
                spec,
                data,
                recorder,
                device=use_device("cpu"),
                folder=folder,
                checkpoint_every_s=math.inf,
                ladder=Ladder(rungs=rungs, may_pass=may_pass),
            )
            if not isinstance(end, Paused):
                break
            read = end.reading
            values = {"loss": read.val_loss, "flops": read.flops, "mark": read.mark, "slope": read.slope}
            row |= {f"{name}_{read.rung}": value for name, value in values.items()}
    assert isinstance(end, TrialResult)
    return row | {"state": end.state.value, "val_loss": end.val_loss}


# ---- what a rung made of them ----------------------------------------------------------------------------------


def reading(row: Row, rung: int) -> RungReading:
    loss, flops, mark, slope = (row[f"{name}_{rung}"] for name in ("loss", "flops", "mark", "slope"))
    return RungReading(
        rung=rung, step=0, mark=int(mark), flops=int(flops), val_loss=float(loss), bits_per_byte=None,
        slope=float(slope) if slope else None,
    )  # fmt: skip


def values_at(rung: int, rows: Sequence[Row], *, slope: bool) -> np.ndarray:
    readings = {at: reading(row, rung) for at, row in enumerate(rows)}
    if not slope:
        return np.array([each.val_loss for each in readings.values()])
    return np.array(list(at_mark(readings, "val_loss").values()))


def ahead(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Places of a hundred that each is better placed at the rung than at the end."""
    return 100 * (rankdata(ends) - rankdata(values)) / (len(ends) - 1)


def interval(of_seeds: np.ndarray) -> str:
    draws = np.random.default_rng(0).integers(len(of_seeds), size=(N_RESAMPLES, len(of_seeds)))
    low, high = np.quantile(of_seeds[draws].mean(axis=1), (0.025, 0.975))
    return f"{of_seeds.mean():+6.1f} [{low:+.1f}, {high:+.1f}]"


def report(table: Sequence[Row]) -> str:
    by_cell = {(row["plan"], int(row["seed"]), float(row["grace"])): row for row in table}
    seeds = sorted({seed for _, seed, _ in by_cell if all(cell in by_cell for cell in cells(seed + 1)[-5:])})
    lines = [f"{len(seeds)} learning rates, {len(table)} trainings", ""]
    lines.append(f"{'rung':5} {'rule':18}" + "".join(f"{plan:>24}" for plan in PLANS) + f"{'rho':>8}")
    for rung, share in enumerate(SHARES):
        for rule, grace, slope in (
            ("grace and slope", GRACE, True),
            ("grace alone", GRACE, False),
            ("neither", 0.0, False),
        ):
            keys = [(plan, seed, grace if plan == "at 0.22" else GRACE) for seed in seeds for plan in PLANS]
            rows = [by_cell[key] for key in keys]
            ends = np.array([float(row["val_loss"]) for row in rows])
            values = values_at(rung, rows, slope=slope)
            places = ahead(values, ends).reshape(len(seeds), len(PLANS))
            found = "".join(f"{interval(column):>24}" for column in places.T)
            lines.append(f"{share:<5} {rule:18}{found}{spearmanr(values, ends).statistic:8.3f}")
    ends = {plan: [float(by_cell[plan, seed, GRACE]["val_loss"]) for seed in seeds] for plan in PLANS}
    best = ", ".join(f"{plan} {min(losses):.4f}" for plan, losses in ends.items())
    return "\n".join([*lines, "", f"lowest val_loss: {best}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--corpus", type=Path, help="without it, only the report")
    parser.add_argument("--seeds", type=int, default=12, help="learning rates")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    table = list(csv.DictReader(asked.out.open(), delimiter="\t")) if asked.out.exists() else []
    if asked.corpus:
        there = {(row["plan"], int(row["seed"]), float(row["grace"])) for row in table}
        missing = [cell for cell in cells(asked.seeds) if cell not in there]
        with get_context("spawn").Pool(asked.processes) as pool, asked.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
            if not table:
                writer.writeheader()
            for row in pool.imap_unordered(partial(trained, corpus=asked.corpus.resolve()), missing):
                writer.writerow(row)
                file.flush()
        table = list(csv.DictReader(asked.out.open(), delimiter="\t"))
    print(report(table))


if __name__ == "__main__":
    main()
