"""Mamba's selective scan against a plain loop over the tokens: forward and backward, CPU time, one thread.

    python benchmarks/selective_scan.py [--pairs 20] [--device cuda]

Both run in turn in one process, so that a busy machine disturbs both alike. The loops are two: one sums the
products C·h (as the paper writes it), one multiplies matrices (faster). The ratio is taken pair by pair; what
is printed is its geometric mean over the pairs and a 95% interval. On a GPU the wall clock is read instead.

Legend: B batch, T tokens, E channels, N states of a channel.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from growlab.blocks.selective_scan import selective_scan

B, T, E, N = 8, 256, 256, 16
T_95 = {5: 2.776, 10: 2.262, 20: 2.093, 40: 2.023}  # Student's quantiles for so many pairs

Scan = Callable[..., Tensor]


def chunked(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return selective_scan(u, dt, a, b, c, u.new_zeros(B, N, E))[0]


def loop_with_sums(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h_BEN, a_EN, outputs = u.new_zeros(B, E, N), a.t(), []
    for t in range(T):
        h_BEN = torch.exp(dt[:, t, :, None] * a_EN) * h_BEN + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
        outputs.append((h_BEN * c[:, t, None]).sum(-1))
    return torch.stack(outputs, dim=1)


def loop_with_products(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    h_BEN, a_EN, outputs = u.new_zeros(B, E, N), a.t(), []
    for t in range(T):
        h_BEN = torch.exp(dt[:, t, :, None] * a_EN) * h_BEN + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
        outputs.append((h_BEN @ c[:, t, :, None])[..., 0])
    return torch.stack(outputs, dim=1)


def draw_inputs(device: torch.device) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    u, b, c = (torch.randn(B, T, width, generator=random) for width in (E, N, N))
    dt = torch.empty(B, T, E).uniform_(math.log(1e-3), math.log(1e-1), generator=random).exp()
    a = -torch.arange(1.0, N + 1)[:, None].expand(N, E).contiguous()
    return [each.to(device).requires_grad_() for each in (u, dt, a, b, c)]


def seconds(scan: Scan, inputs: list[Tensor]) -> float:
    """Of one forward and backward pass."""
    on_gpu = inputs[0].is_cuda
    clock = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize()
    began = clock()
    torch.autograd.grad(scan(*inputs).square().mean(), inputs)
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - began


def compare(loop: Scan, chunked: Scan, inputs: list[Tensor], n_pairs: int) -> None:
    for scan in (chunked, loop):  # the first time is not like the others
        seconds(scan, inputs)
    pairs = [(seconds(loop, inputs), seconds(chunked, inputs)) for _ in range(n_pairs)]
    logs = [math.log(slow / fast) for slow, fast in pairs]
    middle, half = statistics.mean(logs), T_95[len(logs)] * statistics.stdev(logs) / math.sqrt(len(logs))
    slow_ms, fast_ms = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{loop.__name__}: {slow_ms:.0f} ms, {chunked.__name__}: {fast_ms:.0f} ms; "
        f"ratio {math.exp(middle):.2f} (95%: {math.exp(middle - half):.2f} to {math.exp(middle + half):.2f})"
    )


def asked(doc: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--pairs", type=int, choices=sorted(T_95), default=20)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    inputs = draw_inputs(torch.device(arguments.device))
    print(f"torch {torch.__version__}, {arguments.device}, B {B}, T {T}, E {E}, N {N}, {arguments.pairs} pairs")
    for loop in (loop_with_sums, loop_with_products):
        compare(loop, chunked, inputs, arguments.pairs)


if __name__ == "__main__":
    main()
