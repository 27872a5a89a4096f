"""How often `corrected` and the founding rule fire while real models train: on five healthy runs and on five plateaus.

    python benchmarks/growth/recorded.py OUT.tsv CORPUS... [--device cuda] [--processes 10]
    python benchmarks/growth/recorded.py OUT.tsv --report

growlab's own engine trains RUNS, each in a process; run i reads text i of those given, which begin again after the
last. No model grows. After every `--interval` steps the newest unit's weights enter three windows, of S snapshots, and
the model is evaluated: a check, a row of OUT.tsv with what a trigger sees at each S. A healthy run has the usual
schedule, and `--checks` of them. A plateau has a constant learning rate; from where val_loss gains less than 0.1 % a
check over the last 20 (the mean of ten against that of the ten before) it goes on for `--checks` and the largest
window, and is given up where that is not so after `--most`. The rows of a run are appended when it ends, so that one
which was cut is trained again; one that is there is not.

The report shows the real triggers all checks of a run in their order. It counts those with eight snapshots or more, and
of a plateau those whose whole window lies on it. 'fires' is with a trigger's defaults, 'stagnant' with patience 1.
What is right: `corrected` fires at ≤ 10 % of a healthy run's checks and at ≥ 50 % of a plateau's. 'falls' is the share
of the counted checks at which val_loss gains 0.1 % or more, in the sense above.

`corrected` acts on the mean of r̂² over the unit's tensors. Beside it: the median over the tensors, and r̂² of the unit
as one vector ('whole'); of each the median over the counted checks, and the share of them below its `drift_crit`².
"""

import argparse
import csv
import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from growlab.data import load_corpus
from growlab.geometry.trajectory import lasting_drift
from growlab.growth.moment import Moment, Trigger
from growlab.growth.telemetry import mean_lasting_drift, observe
from growlab.growth.triggers.corrected import Corrected, CorrectedOptions
from growlab.growth.triggers.stagnation import Stagnation, StagnationOptions
from growlab.growth.window import Window
from growlab.kinds import complete
from growlab.layout import format_layout, parse
from growlab.records import TrajectoryPoint
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with
from growlab.training.device import use_device
from growlab.training.run import TrialRun, fresh_run

SIZES = (8, 15, 31)  # S, snapshots in a window
SEEN = ("tau", "kappa", "diffusion_exponent", "lasting_drift", "median_drift", "whole_drift")  # of a window
DRIFTS = ("lasting_drift", "median_drift", "whole_drift")  # r̂², as `corrected` sees it and in two other ways
FEWEST_SNAPSHOTS = 8  # for `corrected`
HALF, GAIN = 10, 1e-3  # checks on each side of a gain; of val_loss a check
RIGHT = {"healthy": (0.0, 0.1), "plateau": (0.5, 1.0)}  # from and to which share `corrected` may fire

Row = dict[str, str]  # of the table


@dataclass(frozen=True, kw_only=True)
class Subject:
    layout: str
    lr: float
    weight_decay: float = 0.1


RUNS = {
    "healthy 1": Subject(layout="d=64 (attn[n_heads=4] mlp)x2", lr=3e-3),
    "healthy 2": Subject(layout="d=96 (attn[n_heads=4] mlp)x3", lr=1e-3),
    "healthy 3": Subject(layout="d=64 (ssm mlp)x3", lr=3e-3),
    "healthy 4": Subject(layout="d=128 (conv mlp)x2", lr=2e-3),
    "healthy 5": Subject(layout="d=96 mamba2 mlp attn[n_heads=4] mlp", lr=2e-3),
    "plateau 1": Subject(layout="d=16 attn[n_heads=2] mlp", lr=1e-2),
    "plateau 2": Subject(layout="d=16 conv mlp", lr=1e-2),
    "plateau 3": Subject(layout="d=32 ssm mlp", lr=1e-2, weight_decay=1.0),
    "plateau 4": Subject(layout="d=32 attn[n_heads=4] mlp", lr=2e-2, weight_decay=1.0),
    "plateau 5": Subject(layout="d=24 (conv mlp)x2", lr=1e-2, weight_decay=0.3),
}


def kind_of(name: str) -> str:
    return name.partition(" ")[0]


# ---- training ----------------------------------------------------------------------------------------------------


def data_of(corpus: Path) -> DataSpec:
    return with_defaults(DataSpec, path=str(corpus), val_fraction=0.02)


def spec_of(name: str, corpus: Path, n_steps: int) -> TrialSpec:
    subject = RUNS[name]
    train = default_values(TrainSpec) | {"lr": subject.lr, "weight_decay": subject.weight_decay, "batch_size": 64}
    constant = {"warmup_fraction": 0.01, "decay_fraction": 0.0} if kind_of(name) == "plateau" else {}
    return TrialSpec(
        layout=format_layout(complete(parse(subject.layout))),
        data=data_of(corpus),
        train=TrainSpec(**(train | constant)),
        growth=growth_with(),
        budget=BudgetSpec(unit="steps", amount=n_steps),
        curriculum=(),
        seed=list(RUNS).index(name),
    )


def gain(losses: Sequence[float]) -> float:
    """What val_loss gained a check over the last 20, as a share of it; inf while there are not so many."""
    if len(losses) < 2 * HALF:
        return math.inf
    before, after = (statistics.fmean(losses[at : at + HALF]) for at in (-2 * HALF, len(losses) - HALF))
    return (before - after) / before / HALF


def record(name: str, corpus: Path, asked: argparse.Namespace) -> list[Row]:
    """Train one run and return its checks."""
    device = use_device(asked.device)
    is_plateau = kind_of(name) == "plateau"
    at_plateau = asked.checks + max(SIZES)
    most = asked.most + at_plateau if is_plateau else asked.checks
    run = fresh_run(spec_of(name, corpus, most * asked.interval), load_corpus(data_of(corpus)), device)
    windows = [Window(size) for size in SIZES]
    losses: list[float] = []
    rows: list[Row] = []
    began = 0  # the check at which the plateau was found
    while len(rows) < (began + at_plateau if began else min(most, asked.most) if is_plateau else most):
        rows.append(check(run, windows, asked.interval) | {"run": name, "began": str(began)})
        losses.append(float(rows[-1]["val_loss"]))
        if is_plateau and not began and gain(losses) < GAIN:
            began = len(rows)
    return rows


def check(run: TrialRun, windows: Sequence[Window], n_steps: int) -> Row:
    """Train on to the next check, and note what triggers would see."""
    for _ in range(n_steps):
        run.train_step()
    row = {"step": str(run.counters.step), "progress": f"{run.progress:.4g}", "val_loss": f"{run.evaluate().loss:.6g}"}
    newest = run.growth.watched
    for window in windows:
        window.snapshot(run.model.units[newest])
        points = observe(window, step=run.counters.step, unit=newest)
        seen = asdict(points[0]) | drifts(window) if points else {}
        row |= {f"n_{window.size}": str(len(window))}
        row |= {f"{name}_{window.size}": "" if seen.get(name) is None else f"{seen[name]:.5g}" for name in SEEN}
    return row


def drifts(window: Window) -> dict[str, float | None]:
    """The lasting drift r̂² over a window: the mean over tensors, their median, and that of the unit as one vector."""
    grams = [track.gram for track in window.tracks.values()]
    of_tensors = [drift for gram_nn in grams if (drift := lasting_drift(gram_nn)) is not None]
    return {
        "lasting_drift": mean_lasting_drift(window),
        "median_drift": statistics.median(of_tensors) if of_tensors else None,
        "whole_drift": lasting_drift(torch.stack(grams).sum(0)),
    }


def record_all(asked: argparse.Namespace) -> None:
    """Train what is not in the table yet, and append it there."""
    names = [name for name in asked.runs or RUNS if name not in {row["run"] for row in read(asked.out)}]
    corpora = [path.resolve() for path in asked.corpora]
    for corpus in corpora:
        load_corpus(data_of(corpus))  # into the cache, once
    began = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, context, torch.set_num_threads, (1,)) as pool:
        jobs = {
            pool.submit(partial(record, name, corpora[list(RUNS).index(name) % len(corpora)], asked)): name
            for name in names
        }
        for job in as_completed(jobs):
            append(asked.out, job.result())
            print(f"{jobs[job]}: {len(job.result())} checks after {time.perf_counter() - began:.0f} s", flush=True)


# ---- the table ---------------------------------------------------------------------------------------------------

OF_WINDOWS = [f"{name}_{size}" for size in SIZES for name in ("n", *SEEN)]
COLUMNS = ("run", "began", "step", "progress", "val_loss", *OF_WINDOWS)


def append(path: Path, rows: Sequence[Row]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


# ---- the report --------------------------------------------------------------------------------------------------


def number(row: Row, name: str, size: int) -> float | None:
    return float(text) if (text := row[f"{name}_{size}"]) else None


def moment_of(row: Row, size: int) -> Moment:
    """What a trigger saw at a check, with a window of this size."""
    n, step, loss, drift = int(row[f"n_{size}"]), int(row["step"]), float(row["val_loss"]), number(row, DRIFTS[0], size)
    seen = {name: number(row, name, size) for name in SEEN if name not in DRIFTS}
    unused = {"drift_to_noise": None, "drift_z": None, "path": 0.0, "displacement": 0.0}
    path = TrajectoryPoint(step=step, unit=0, tensor="", n_increments=n - 1, **seen, **unused) if n >= 3 else None
    progress = float(row["progress"])
    return Moment(
        step=step, progress=progress, flops=step, train_loss=loss, val_loss=loss, path=path, lasting_drift=drift
    )


def counted(rows: Sequence[Row], size: int) -> list[bool]:
    """Which checks of a run the report counts, with a window of this size."""
    began = next((int(row["began"]) for row in rows if int(row["began"])), 0)
    if kind_of(rows[0]["run"]) == "plateau":
        return [bool(began) and at + 1 >= began + size for at in range(len(rows))]
    return [int(row[f"n_{size}"]) >= FEWEST_SNAPSHOTS for row in rows]


def share(trigger: Trigger, moments: Sequence[Moment], counts: Sequence[bool]) -> float:
    """The share of the counted checks at which a trigger that sees all of them asks for growth."""
    asks = [trigger.check(moment) for moment in moments]
    return statistics.fmean(ask for ask, counts_here in zip(asks, counts, strict=True) if counts_here)


def drifts_text(rows: Sequence[Row], size: int) -> str:
    """Of each sort of r̂² the median over these checks, and the share of them below `drift_crit`²."""
    critical = with_defaults(CorrectedOptions).drift_crit ** 2
    texts = []
    for name in DRIFTS:
        values = [value for row in rows if (value := number(row, name, size)) is not None]
        texts.append(
            f"{statistics.median(values):>7.2f} {statistics.fmean(value < critical for value in values):>4.0%}"
        )
    return " ".join(texts)


def report_lines(rows: Sequence[Row]) -> Iterator[str]:
    """The report: a line for each run and window."""
    yield (
        f"{'run':<10} {'S':>2} {'n':>4} {'falls':>6} {'gain':>7} {'corrected fires':>15} {'stagnant':>8} "
        f"{'seed fires':>10} {'stagnant':>8} {'r̂²: mean':>12} {'median':>12} {'whole':>12}   "
        f"{'layout':<36} {'lr':>5} {'decay':>5}"
    )
    n_right = dict.fromkeys(((kind, size) for kind in RIGHT for size in SIZES), 0)
    for name in dict.fromkeys(row["run"] for row in rows):
        of_run, subject = [row for row in rows if row["run"] == name], RUNS[name]
        losses = [float(row["val_loss"]) for row in of_run]
        for size in SIZES:
            counts, moments = counted(of_run, size), [moment_of(row, size) for row in of_run]
            at = [i for i, counts_here in enumerate(counts) if counts_here]
            if not at:
                yield f"{name:<10} {size:>2} {0:>4}  nothing to count: no plateau was reached, or too few checks"
                continue
            fires, stagnant, seed_fires, seed_stagnant = (
                share(trigger, moments, counts)
                for trigger in (
                    Corrected(with_defaults(CorrectedOptions)),
                    Corrected(with_defaults(CorrectedOptions, patience=1)),
                    Stagnation(with_defaults(StagnationOptions)),
                    Stagnation(with_defaults(StagnationOptions, patience=1)),
                )
            )
            falls = statistics.fmean(gain(losses[: i + 1]) >= GAIN for i in at)
            mean_gain = (losses[at[0]] - losses[at[-1]]) / losses[at[0]] / max(1, len(at) - 1)
            least, most = RIGHT[kind_of(name)]
            is_right = least <= fires <= most
            n_right[kind_of(name), size] += is_right
            yield (
                f"{name:<10} {size:>2} {len(at):>4} {falls:>6.0%} {mean_gain:>7.2%} {fires:>15.0%} {stagnant:>8.0%} "
                f"{seed_fires:>10.0%} {seed_stagnant:>8.0%} {drifts_text([of_run[i] for i in at], size)}   "
                f"{subject.layout:<36} {subject.lr:>5g} {subject.weight_decay:>5g}{'' if is_right else '  !'}"
            )
    for (kind, size), n in n_right.items():
        least, most = RIGHT[kind]
        yield f"{kind}, S = {size}: `corrected` fires at {least:.0%} to {most:.0%} of the checks of {n} runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("corpora", type=Path, nargs="*", metavar="CORPUS")
    parser.add_argument("--report", action="store_true", help="of what is in OUT.tsv; trains nothing")
    parser.add_argument("--runs", nargs="*", choices=list(RUNS), metavar="RUN", help="these alone, such as 'plateau 1'")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--interval", type=int, default=100, help="steps between checks, and between snapshots")
    parser.add_argument("--checks", type=int, default=60, help="of a healthy run, and recorded on a plateau")
    parser.add_argument("--most", type=int, default=200, help="checks in which a plateau must be reached")
    asked = parser.parse_args()
    if asked.report:
        print("\n".join(report_lines(read(asked.out))))
        return
    if not asked.corpora:
        parser.error("name at least one text, or --report")
    if asked.device.startswith("cuda"):
        os.environ.setdefault("GROWLAB_ENGINE", "graph")  # ten processes that compile would take longer than they train
    record_all(asked)


if __name__ == "__main__":
    main()
