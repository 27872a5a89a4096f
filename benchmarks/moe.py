"""Sparse experts against all experts on all tokens: forward and backward, CPU time, one thread.

    python benchmarks/moe.py [--pairs 20] [--device cuda]

As selective_scan.py, whose ratio this is. 8 experts, of which 2 mix a token, each of hidden width 4/3 of d_model; the
dense form weighs the hidden units of the others by 0. Its products are 4 times as many; the router's are in both.

Legend: B batch, T tokens, D d_model.
"""

import torch
from selective_scan import asked, compare
from torch import Tensor

from growlab.blocks.base import build_mixer
from growlab.blocks.moe import Moe
from growlab.layout import BlockSpec

B, T, D = 8, 256, 256


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mixer = build_mixer(BlockSpec("moe"), D, max_depth=1, dropout=0.0).to(arguments.device)
    assert isinstance(mixer, Moe)

    def sparse(x_BTD: Tensor, *weights: Tensor) -> Tensor:
        return mixer(x_BTD)

    def dense(x_BTD: Tensor, *weights: Tensor) -> Tensor:
        return mixer.experts.dense(x_BTD.flatten(0, 1), mixer.route(x_BTD))

    x_BTD = torch.randn(B, T, D, device=arguments.device, requires_grad=True)
    print(f"torch {torch.__version__}, {arguments.device}, B {B}, T {T}, D {D}, {arguments.pairs} pairs")
    compare(dense, sparse, [x_BTD, *mixer.parameters()], arguments.pairs)


if __name__ == "__main__":
    main()
