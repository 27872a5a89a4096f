"""The chunked memory of fast weights against a plain loop over the tokens: forward and backward, CPU time, one thread.

    python benchmarks/decaying_memory.py [--pairs 20] [--device cuda]

As selective_scan.py, whose ratio this is.

Legend: B batch, H heads, T tokens, E entries of a key and of a value.
"""

import torch
from selective_scan import asked, compare
from torch import Tensor

from growlab.blocks.decaying_memory import remember

B, H, T, E = 4, 4, 1024, 32


def chunked(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    return remember(q, k, v, log_decay)[0]


def loop(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    memory, decay, outputs = q.new_zeros(B, H, E, E), log_decay.exp(), []
    for t in range(T):
        memory = decay[:, :, t, None, None] * memory + k[:, :, t, :, None] * v[:, :, t, None]
        outputs.append((q[:, :, t, None] @ memory)[:, :, 0])
    return torch.stack(outputs, dim=2)


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(B, H, T, E, generator=random) for _ in range(3))
    log_decay = torch.empty(B, H, T).uniform_(0.8, 1, generator=random).log()
    inputs = [each.to(arguments.device).requires_grad_() for each in (q, k, v, log_decay)]
    print(f"torch {torch.__version__}, {arguments.device}, B {B}, H {H}, T {T}, E {E}, {arguments.pairs} pairs")
    compare(loop, chunked, inputs, arguments.pairs)


if __name__ == "__main__":
    main()
