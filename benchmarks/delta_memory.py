"""The chunked delta rule of fast weights against a plain loop over the tokens: CPU time, one thread; peak memory.

    python benchmarks/delta_memory.py [--pairs 20] [--device cuda]

As selective_scan.py, whose ratio this is; forward and backward. The peak is what a forward and a backward pass add at
most to the tensors that are there before, for texts of more and more tokens: it should double where they do.

Legend: B batch, H heads, T tokens, E entries of a key and of a value.
"""

import torch
import torch.nn.functional as F
from selective_scan import asked, compare
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from growlab.blocks.delta_memory import revise

B, H, T, E = 4, 4, 1024, 32
LENGTHS = 512, 1024, 2048, 4096, 8192


def chunked(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor) -> Tensor:
    return revise(q, k, v, log_decay, strength)[0]


def loop(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, strength: Tensor) -> Tensor:
    memory, decay, outputs = q.new_zeros(B, H, E, E), log_decay.exp(), []
    for t in range(T):
        memory = decay[:, :, t, None, None] * memory
        correction = strength[:, :, t, None, None] * (v[:, :, t, None] - k[:, :, t, None] @ memory)
        memory = memory + k[:, :, t, :, None] * correction
        outputs.append((q[:, :, t, None] @ memory)[:, :, 0])
    return torch.stack(outputs, dim=2)


def drawn(n_tokens: int, device: torch.device) -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(B, H, n_tokens, E, generator=random) for _ in range(3))
    log_decay = torch.empty(B, H, n_tokens).uniform_(0.8, 1, generator=random).log()
    strength = torch.rand(B, H, n_tokens, generator=random)
    return [each.to(device).requires_grad_() for each in (q, F.normalize(k, dim=-1), v, log_decay, strength)]


def peak_bytes(inputs: list[Tensor]) -> int:
    """Allocated at most above what was there; by the allocator of a GPU, or by adding up what a CPU's reported."""
    if inputs[0].is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        torch.autograd.grad(chunked(*inputs).square().mean(), inputs)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        torch.autograd.grad(chunked(*inputs).square().mean(), inputs)
    held, most = 0, 0
    for event in sorted(seen.profiler.kineto_results.events(), key=lambda each: each.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {arguments.device}, B {B}, H {H}, T {T}, E {E}, {arguments.pairs} pairs")
    compare(loop, chunked, drawn(T, arguments.device), arguments.pairs)
    for n_tokens in LENGTHS:
        peak = peak_bytes(drawn(n_tokens, arguments.device))
        print(f"T {n_tokens}: peak {peak / 2**20:.1f} MiB, {peak / n_tokens / B / H:.0f} bytes per token and head")


if __name__ == "__main__":
    main()
