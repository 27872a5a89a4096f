"""Milliseconds per training step on a GPU: eager, batches made by the host; and one CUDA graph, batches gathered there.

    python benchmarks/gpu/step.py CORPUS OUT.jsonl

One row for each layout, with the versions and the device; what is in OUT.jsonl already is not measured again. Each
figure is the median of ROUNDS rounds, the two engines in turn, with the smallest and the largest.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from growlab.data import load_corpus
from growlab.domains import Fixed
from growlab.kinds import complete
from growlab.layout import parse
from growlab.specs import BudgetSpec, GrowthSpec, TrainSpec, TrialSpec
from growlab.study import GROWTH_DEFAULTS, TRAIN_DEFAULTS, StudyData
from growlab.training.device import use_device
from growlab.training.engine import EagerEngine
from growlab.training.feed import HostFeed
from growlab.training.run import TrialRun, fresh_run

ROUNDS, STEPS = 5, 40
LAYOUTS = {
    "attention, 3.5M": "d=192 (attn[n_heads=6,qk_norm=true] mlp)x8",
    "attention, 10.6M": "d=384 (attn[n_heads=6] mlp[activation=gelu,expand=4.0])x6",
    "hybrid, 1.4M": "d=192 mamba mlp conv mlp attn mlp",
    "mamba, 3.3M": "d=192 (mamba mlp)x6",
}


def spec_of(layout: str, corpus: Path) -> TrialSpec:
    train = {key: domain.value for key, domain in TRAIN_DEFAULTS.items() if isinstance(domain, Fixed)}
    growth = {key: domain.value for key, domain in GROWTH_DEFAULTS.items() if isinstance(domain, Fixed)}
    return TrialSpec(
        layout=str(complete(parse(layout))),
        data=StudyData(path=str(corpus)).spec(),
        train=TrainSpec(**(train | {"batch_size": 64, "seq_len": 256, "dropout": 0.2})),
        growth=GrowthSpec(**growth),
        budget=BudgetSpec(unit="steps", amount=10**6),
        seed=0,
    )


def ms_per_step(run: TrialRun, n_steps: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(n_steps):
        run.train_step()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began) / n_steps


def measure(layout: str, corpus: Path, device: torch.device) -> dict[str, object]:
    spec = spec_of(layout, corpus)
    data = load_corpus(spec.data)
    eager, graph = fresh_run(spec, data, device), fresh_run(spec, data, device)
    eager.feed, eager.engine = HostFeed(data.train, spec.train, 0, device), EagerEngine(eager._learn)
    record_s = [ms_per_step(run, 10) / 100 for run in (eager, graph)][1]
    taken: dict[str, list[float]] = {"eager": [], "graph": []}
    for _ in range(ROUNDS):
        for name, run in (("eager", eager), ("graph", graph)):
            taken[name].append(ms_per_step(run, STEPS))
    ratios = [one / other for one, other in zip(taken["eager"], taken["graph"], strict=True)]
    figures = {f"{name}_ms": spread(values) for name, values in taken.items()}
    return {**figures, "eager_over_graph": spread(ratios), "first_ten_graph_steps_s": round(record_s, 3)}


def spread(values: list[float]) -> list[float]:
    """Median, smallest, largest."""
    return [round(each, 3) for each in (statistics.median(values), min(values), max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    known = {json.loads(line)["layout"] for line in asked.out.read_text().splitlines()} if asked.out.exists() else set()
    device = use_device("cuda")
    about = {
        "command": f"python benchmarks/gpu/step.py {asked.corpus.name} {asked.out.name}",
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "rounds": ROUNDS,
        "steps": STEPS,
    }
    for name, layout in LAYOUTS.items():
        if name in known:
            continue
        row = {"layout": name, "text": layout, **measure(layout, asked.corpus.resolve(), device), **about}
        with asked.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
