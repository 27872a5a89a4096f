"""What it costs to watch every unit's path and not the newest one's alone: one observation in 100 steps, in one run.

    python benchmarks/sketches.py [--device cpu] [--layout "d=192 (attn mlp)x8"] [--batch 16] [--pairs 10]

newest  a snapshot of the newest unit, and τ, κ, H, r̂², z of each of its tensors
all     the same, and a sketch of every other unit with the means of theirs: `growth.watch: all`
aiether what `all` is under `operator: aiether, factor: 2`, whose next growth needs every unit's path whole

Both windows are full. An observation alone is taken, and a step alone, in turn: their ratio, over 100, is the share of
training that watching costs. On a CPU CPU time, on a GPU time until it is idle again, as an observation waits for it.
The engine is what GROWLAB_ENGINE says. Prints the median over pairs, the smallest and the largest.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

import growlab.blocks  # noqa: F401  (fills the table of kinds)
from growlab.data import load_corpus
from growlab.data.corpus import Corpus
from growlab.growth.telemetry import observe, observe_others
from growlab.kinds import complete
from growlab.layout import parse
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with
from growlab.training.device import use_device
from growlab.training.run import TrialRun, fresh_run

EVERY = 100  # steps between observations
STEPS, SIZE = 4, 15  # steps of a measurement; snapshots of a window
PLANS: dict[str, dict[str, Any]] = {
    "newest": {"watch": "newest", "operator": "stack"},
    "all": {"watch": "all", "operator": "stack"},
    "aiether": {"watch": "all", "operator": "aiether"},
}


def make_run(asked: argparse.Namespace, plan: dict[str, Any], corpus: Corpus, device: torch.device) -> TrialRun:
    spec = TrialSpec(
        layout=str(complete(parse(asked.layout))),
        data=with_defaults(DataSpec, source="stdlib", val_fraction=0.02),
        train=replace(TrainSpec(**default_values(TrainSpec)), batch_size=asked.batch, seq_len=256),
        growth=growth_with(trigger={"at": {"shares": 0.5}}, factor=2, max_depth=64, history_window_size=SIZE, **plan),
        budget=BudgetSpec(unit="steps", amount=10**6),
        curriculum=(),
        seed=0,
    )
    return fresh_run(spec, corpus, device)


def observation(run: TrialRun) -> None:
    run.growth.snapshot()
    observe(run.growth.window, step=1, unit=run.growth.watched)
    observe_others(run.growth.paths, step=1, units=run.growth.places)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - began


def steps(run: TrialRun, n: int = STEPS) -> None:
    for _ in range(n):
        run.train_step()


def spread(values: Sequence[float]) -> str:
    return f"{100 * statistics.median(values):.3f} % ({100 * min(values):.3f} to {100 * max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layout", default="d=192 (attn mlp)x8")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=10)
    asked = parser.parse_args()
    device = use_device(asked.device)
    corpus = load_corpus(with_defaults(DataSpec, source="stdlib", val_fraction=0.02))
    runs = {name: make_run(asked, plan, corpus, device) for name, plan in PLANS.items()}
    for run in runs.values():
        for _ in range(SIZE + 1):  # until its window is full and slides
            steps(run, 1)
            observation(run)
    plain = runs["newest"]
    steps(plain, 10)  # an engine has recorded its step, or compiled it
    shares: dict[str, list[float]] = {name: [] for name in runs}
    step_ms = []
    for _ in range(asked.pairs):
        of_step = seconds(lambda: steps(plain), device) / STEPS
        step_ms.append(1e3 * of_step)
        for name, run in runs.items():
            shares[name].append(seconds(lambda run=run: observation(run), device) / (EVERY * of_step))
    about = f"{asked.layout}, {plain.n_params / 1e6:.2f}M parameters, batch {asked.batch} of 256"
    print(f"{about}, {device}, {asked.pairs} pairs")
    print(f"step                       {statistics.median(step_ms):.2f} ms ({min(step_ms):.2f} to {max(step_ms):.2f})")
    for name, values in shares.items():
        print(f"{name:<8} of 100 steps      {spread(values)}")
    more = [every - one for every, one in zip(shares["all"], shares["newest"], strict=True)]
    print(f"all more than newest       {spread(more)}")


if __name__ == "__main__":
    main()
