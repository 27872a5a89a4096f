"""Attention within a window: by chunks and a mask, by FlashAttention's window, and by FlexAttention; both passes.

    python benchmarks/gpu/windows.py OUT.jsonl

Milliseconds in bf16, 16,384 tokens of 8 heads of 64, windows of 128 and 256, median, smallest and largest of rounds in
which all take turns; GB of memory at most; and the seconds until FlexAttention, which is compiled for each shape, has
made its first passes. What is in OUT.jsonl already is not measured again.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rows import Rows
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from growlab.blocks.window_attention import DOOR
from growlab.training.device import use_device

TOKENS, HEADS, HEAD = 16_384, 8, 64
ROUNDS, STEPS = 7, 20
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def forms(T: int, window: int) -> dict[str, Attend]:
    mask = create_block_mask(
        lambda b, h, q, k: (q >= k) & (q - k < window), None, None, T, T, device="cuda", _compile=True
    )
    flex = torch.compile(flex_attention, dynamic=False)
    return {
        "chunks": lambda q, k, v: DOOR.definition(q, k, v, window, 0.0),
        "flash": lambda q, k, v: DOOR.kernel()(q, k, v, window, 0.0),
        "flex": lambda q, k, v: flex(q, k, v, block_mask=mask),
    }


def passes(attend: Attend, inputs: list[Tensor]) -> None:
    torch.autograd.grad(attend(*inputs), inputs, inputs[0])


def seconds(work: Callable[[], object], n: int) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(n):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / n


def measure(T: int, window: int) -> dict[str, object]:
    shape = TOKENS // T, T, HEADS, HEAD
    inputs = [
        torch.randn(shape, device="cuda", dtype=torch.bfloat16).transpose(1, 2).requires_grad_() for _ in range(3)
    ]
    ways = {name: (lambda attend=attend: passes(attend, inputs)) for name, attend in forms(T, window).items()}
    first = {name: round(seconds(way, 1), 3) for name, way in ways.items()}
    gigabytes: dict[str, float] = {}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        gigabytes[name] = round((torch.cuda.max_memory_allocated() - before) / 1e9, 3)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name].append(1000 * seconds(way, STEPS))
    spreads = {name: [statistics.median(ms), min(ms), max(ms)] for name, ms in taken.items()}
    return {
        "ms": {name: [round(each, 4) for each in spread] for name, spread in spreads.items()},
        "GB": gigabytes,
        "first_s": first,
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    rows = Rows(parser.parse_args().out)
    use_device("cuda")
    for window in (128, 256):
        for T in (512, 4096, 16_384):
            what = f"window {window}, {TOKENS // T} × {T}"
            if what not in rows:
                rows.add(what, measure(T, window))


if __name__ == "__main__":
    main()
