"""What the kernels of the matrix memories are worth: training steps, single blocks, and texts that become longer.

    python benchmarks/gpu/recurrence.py CORPUS OUT.jsonl

    step KIND     ms per training step of `d=256 (KIND mlp)x4`, batch 64 × 256, compiled-graph; beside it the same with
                  all doors closed, and attention. All take turns in each of ROUNDS rounds; ratios are of one round
    block KIND    ms of both passes of one compiled block under bf16, recorded, of width 1,024 and 8 texts of 4,096
                  tokens, and the memory that it takes; with doors closed too
    longer KIND   the same with doors open, of texts from 4,096 to 65,536 tokens, 8 × 4,096 tokens or one text in all

Medians, with the smallest and the largest. What is in OUT.jsonl already is not measured again.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import torch
from rows import Rows, about, parser_of
from step import Subject, ms_per_step, spec_of, spread

from growlab.blocks import build_block
from growlab.data import load_corpus
from growlab.kernels import closed_doors
from growlab.kinds import complete_block
from growlab.layout import parse_blocks
from growlab.training.compiled import lacking_to_compile, programs
from growlab.training.device import use_device
from growlab.training.run import fresh_run

KINDS = ("attn", "mamba2", "hebbian", "hebbian[delta=true]", "hopfield[incremental=true]")
ROUNDS, STEPS, START = 5, 20, 8
WIDTH, BATCH, SEQ_LEN = 1024, 8, 4096
Step = Callable[[], object]


def train_step(kind: str, corpus: Path, device: torch.device, *, kernels: bool) -> Step:
    """A recorded training step of four units."""
    spec = spec_of(Subject(f"d=256 ({kind} mlp)x4", 0.0, None), corpus)
    with ExitStack() as stack:
        if not kernels:
            stack.enter_context(closed_doors())
        run = fresh_run(spec, load_corpus(spec.data), device)
        ms_per_step(run.train_step, START)
    assert run.engine.name == "compiled-graph"
    return run.train_step


def measure_steps(kind: str, corpus: Path, device: torch.device) -> dict[str, object]:
    subjects = {"attention": ("attn", True), "kernels": (kind, True), "definitions": (kind, False)}
    steps = {name: train_step(of, corpus, device, kernels=kernels) for name, (of, kernels) in subjects.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            taken[name].append(ms_per_step(step, STEPS))
    ratios = {name: [one / other for one, other in zip(taken[name], taken["attention"], strict=True)] for name in taken}
    return {
        "ms": {name: spread(values) for name, values in taken.items()},
        "times_attention": {name: spread(values) for name, values in ratios.items()},
    }


def block_passes(kind: str, batch: int, seq_len: int, device: torch.device) -> tuple[Step, float]:
    """Both passes of a compiled block as a recorded graph, and the most memory that they take, in MiB."""
    spec = complete_block(parse_blocks(kind)[0], WIDTH)
    block = build_block(spec, WIDTH, max_depth=1, dropout=0.0).to(device)
    _, run, _ = programs()
    stream = torch.randn(batch, seq_len, WIDTH, device=device, requires_grad=True)
    mixed = torch.zeros_like(stream, dtype=torch.bfloat16).requires_grad_()

    def both() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            stream_BTD, mixed_BTD, _ = run(block, stream, mixed)
        torch.autograd.grad((stream_BTD, mixed_BTD), (stream, mixed, *block.parameters()), (stream_BTD, mixed_BTD))

    aside = torch.cuda.Stream(device)
    with torch.cuda.stream(aside):
        for _ in range(3):
            both()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    with torch.cuda.stream(aside):
        both()
    torch.cuda.synchronize()
    taken = (torch.cuda.max_memory_allocated() - held) / 2**20
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=aside):
        both()
    return graph.replay, round(taken)


def measure_block(
    kind: str, batch: int, seq_len: int, device: torch.device, *, kernels: bool = True
) -> dict[str, object]:
    with ExitStack() as stack:
        if not kernels:
            stack.enter_context(closed_doors())
        step, taken = block_passes(kind, batch, seq_len, device)
    return {"ms": spread([ms_per_step(step, 5) for _ in range(ROUNDS)]), "MiB": taken}


def longer(kind: str, device: torch.device) -> dict[str, object]:
    """Milliseconds of texts of as many tokens in all, and of one long text."""
    shapes = {f"{BATCH * SEQ_LEN // T} × {T}": (BATCH * SEQ_LEN // T, T) for T in (4096, 8192, 16_384, 32_768)}
    shapes |= {"1 × 65536": (1, 65_536), "8 × 16384": (8, 16_384), "8 × 65536": (8, 65_536)}
    found: dict[str, object] = {}
    for name, (batch, seq_len) in shapes.items():
        try:
            found[name] = measure_block(kind, batch, seq_len, device)
        except torch.OutOfMemoryError:
            found[name] = "out of memory"
        tidy()
    return found


def measurements(corpus: Path, device: torch.device) -> Iterator[tuple[str, Callable[[], dict[str, object]]]]:
    for kind in KINDS[1:]:
        yield f"step {kind}", lambda kind=kind: measure_steps(kind, corpus, device)
    for kind in KINDS:
        yield (
            f"block {kind}",
            lambda kind=kind: {
                "kernels": measure_block(kind, BATCH, SEQ_LEN, device),
                "definitions": measure_block(kind, BATCH, SEQ_LEN, device, kernels=False),
            },
        )
    for kind in KINDS[1:]:
        yield f"longer {kind}", lambda kind=kind: longer(kind, device)


def tidy() -> None:
    gc.collect()
    torch.cuda.empty_cache()


def main() -> None:
    asked = parser_of(__doc__).parse_args()
    os.environ["GROWLAB_ENGINE"] = "compiled-graph"
    device, rows = use_device("cuda"), Rows(asked.out)
    assert lacking_to_compile(device) == ""
    for what, measure in measurements(asked.corpus.resolve(), device):
        if what not in rows:
            rows.add(what, measure() | about("recurrence.py", asked.corpus, asked.out, rounds=ROUNDS))
            tidy()


if __name__ == "__main__":
    main()
