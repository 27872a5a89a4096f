"""What the trial's loop costs beyond the model: CPU-time ratios, pairs interleaved in one run.

    python benchmarks/cpu.py [--pairs 20]

by hand     the usual loop over the same model: batch by slices of the corpus, lr set, forward, backward, clip, AdamW
step        TrialRun.train_step: schedule, batch from the corpus, autocast, the same update
telemetry   as `step`, with a snapshot of the newest unit and all of τ, κ, H, r̂², z every 20 steps
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

import growlab.blocks  # noqa: F401  (fills the table of kinds)
from growlab.data import load_corpus
from growlab.growth.telemetry import observe
from growlab.kinds import complete
from growlab.layout import parse
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with
from growlab.training.run import TrialRun, fresh_run

STEPS, SNAPSHOT_EVERY = 20, 20
LAYOUT = "d=128 (attn mlp)x2"


def make_run() -> TrialRun:
    train = default_values(TrainSpec)
    data = with_defaults(DataSpec, source="stdlib", val_fraction=0.02)
    spec = TrialSpec(
        layout=str(complete(parse(LAYOUT))),
        data=data,
        train=replace(TrainSpec(**train), batch_size=16),
        growth=growth_with(trigger="stagnation"),
        budget=BudgetSpec(unit="steps", amount=10**9),
        seed=0,
    )
    return fresh_run(spec, load_corpus(data), torch.device("cpu"))


def by_hand(run: TrialRun) -> Callable[[], None]:
    model, train, ids = run.model, run.spec.train, run.corpus.train
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def windows(starts: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.from_numpy(ids[at : at + train.seq_len].astype(np.int64)) for at in starts])

    def steps() -> None:
        for _ in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = 1e-4
            starts = torch.randint(len(ids) - train.seq_len, (train.batch_size,))
            model.loss(windows(starts), windows(starts + 1)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), train.grad_clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps


def step(run: TrialRun) -> Callable[[], None]:
    def steps() -> None:
        for _ in range(STEPS):
            run.train_step()

    return steps


def telemetry(run: TrialRun) -> Callable[[], None]:
    def steps() -> None:
        for at in range(STEPS):
            run.train_step()
            if at % SNAPSHOT_EVERY == 0:
                run.growth.window.snapshot(run.model.units[run.growth.watched])
                observe(run.growth.window, step=run.counters.step, unit=run.growth.watched)

    return steps


def cpu_s(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, slow: Callable[[], None], fast: Callable[[], None], pairs: int) -> None:
    slow(), fast()  # warm-up
    ratios = sorted(cpu_s(slow) / cpu_s(fast) for _ in range(pairs))
    low, high = ratios[len(ratios) // 40], ratios[-1 - len(ratios) // 40]
    print(f"{name:<24} {statistics.median(ratios):.3f}  (middle 95%: {low:.3f} to {high:.3f}, n = {pairs})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, {LAYOUT}, batch 16 x 128, {STEPS} steps each; CPU-time ratios")
    compare("step / by hand", step(make_run()), by_hand(make_run()), pairs)
    compare("telemetry / step", telemetry(make_run()), step(make_run()), pairs)


if __name__ == "__main__":
    main()
