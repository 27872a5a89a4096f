"""Milliseconds per training step on a GPU, of growlab executed in three ways and of a loop written by hand.

    python benchmarks/gpu/step.py CORPUS OUT.jsonl [--only SUBJECT]

One row for each subject, with the versions and the device; what is in OUT.jsonl already is not measured again. Where a
layout has kernels of growlab's own, one way more leaves them out. All ways
to run a subject take turns in each of ROUNDS rounds; a figure is the median of the rounds, with the smallest and the
largest. Ratios are of the same round. `start_s` is the time of the first START steps: compiling and recording.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import by_hand
import numpy as np
import torch
from rows import Rows, about, parser_of

from growlab.data import load_corpus
from growlab.kernels import closed_doors
from growlab.kinds import complete
from growlab.layout import parse
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with
from growlab.training.device import use_device
from growlab.training.run import fresh_run

ROUNDS, STEPS, START = 5, 20, 6
Step = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    layout: str
    dropout: float
    by_hand: tuple[int, int, int, int] | None  # width, depth, heads and hidden width of the same model
    batch_size: int = 64
    seq_len: int = 256
    vocab_size: int = 0  # of a BPE; 0: characters


SUBJECTS = {
    "attention, 3.5M": Subject("d=192 (attn[n_heads=6] mlp)x8", 0.0, (192, 8, 6, 512)),
    "attention, 3.5M, dropout 0.2": Subject("d=192 (attn[n_heads=6] mlp)x8", 0.2, (192, 8, 6, 512)),
    "attention with QK-norm, 3.5M, dropout 0.2": Subject("d=192 (attn[n_heads=6,qk_norm=true] mlp)x8", 0.2, None),
    "attention, 10.6M, dropout 0.2": Subject("d=384 (attn[n_heads=6] mlp)x6", 0.2, (384, 6, 6, 1024)),
    "hybrid, 1.4M": Subject("d=192 mamba mlp conv mlp attn mlp", 0.0, None),
    "mamba, 3.3M": Subject("d=192 (mamba mlp)x6", 0.0, None),
    "aetheris at full size": Subject(
        "d=768 (mamba[kernel=3] moe[expand=3.0,n_experts=4,top_k=1])x12", 0.0, None, 16, 512, 16384
    ),
}


def spec_of(subject: Subject, corpus: Path) -> TrialSpec:
    changed = {"batch_size": subject.batch_size, "seq_len": subject.seq_len, "dropout": subject.dropout}
    bpe = {"tokenizer": "bpe", "vocab_size": subject.vocab_size} if subject.vocab_size else {}
    return TrialSpec(
        layout=str(complete(parse(subject.layout))),
        data=with_defaults(DataSpec, path=str(corpus), **bpe),
        train=TrainSpec(**(default_values(TrainSpec) | changed)),
        growth=growth_with(),
        curriculum=(),
        budget=BudgetSpec(unit="steps", amount=10**6),
        seed=0,
    )


def ways(subject: Subject, corpus: Path, device: torch.device) -> dict[str, Callable[[], Step]]:
    """How to make a step of each way to run the subject."""
    spec = spec_of(subject, corpus)
    data = load_corpus(spec.data)

    def growlab(execution: str) -> Step:
        os.environ["GROWLAB_ENGINE"] = execution
        run = fresh_run(spec, data, device)
        assert run.engine.name == execution
        return run.train_step

    def without_kernels() -> Step:
        with closed_doors():
            step = growlab("compiled-graph")
            for _ in range(START):  # until it is recorded
                step()
        return step

    def hand(*, compiled: bool, graph: bool) -> Step:
        assert subject.by_hand is not None
        width, depth, n_heads, hidden = subject.by_hand
        model = by_hand.Decoder(data.tokenizer.vocab_size, width, depth, n_heads, hidden, 256, subject.dropout).cuda()
        loop = by_hand.Loop(model, np.asarray(data.train), 64, 256, compiled=compiled)
        if not graph:
            return loop.step
        loop.record()
        return loop.replay

    known = {
        f"growlab {execution}": lambda execution=execution: growlab(execution)
        for execution in ("eager", "graph", "compiled-graph")
    }
    if "mamba" in subject.layout:
        known["growlab compiled-graph, no kernels"] = without_kernels
    if subject.by_hand is None:
        return known
    return known | {
        "by hand, eager": lambda: hand(compiled=False, graph=False),
        "by hand, compiled": lambda: hand(compiled=True, graph=False),
        "by hand, compiled, one graph": lambda: hand(compiled=True, graph=True),
    }


def ms_per_step(step: Step, n_steps: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(n_steps):
        step()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - began) / n_steps


def measure(subject: Subject, corpus: Path, device: torch.device) -> dict[str, object]:
    steps, start_s = {}, {}
    for name, make in ways(subject, corpus, device).items():
        began = time.perf_counter()
        steps[name] = make()
        ms_per_step(steps[name], START)
        start_s[name] = round(time.perf_counter() - began, 2)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            taken[name].append(ms_per_step(step, STEPS))
    fastest = taken["growlab compiled-graph"]
    return {
        "ms": {name: spread(values) for name, values in taken.items()},
        "times_growlab_compiled_graph": {
            name: spread([one / other for one, other in zip(values, fastest, strict=True)])
            for name, values in taken.items()
        },
        "start_s": start_s,
    }


def spread(values: list[float]) -> list[float]:
    """Median, smallest, largest."""
    return [round(each, 3) for each in (statistics.median(values), min(values), max(values))]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=SUBJECTS, help="one subject")
    asked = parser.parse_args()
    device = use_device("cuda")
    rows = Rows(asked.out)
    for name, subject in SUBJECTS.items():
        if name in rows or (asked.only or name) != name:
            continue
        figures: Mapping[str, object] = {"layout": subject.layout, **measure(subject, asked.corpus.resolve(), device)}
        rows.add(name, figures | about("step.py", asked.corpus, asked.out, rounds=ROUNDS, steps=STEPS))
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
