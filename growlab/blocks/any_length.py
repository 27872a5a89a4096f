"""What a program that torch.export records is made of where the length of a text matters: there it is a symbol.

A loop of Python would be recorded as the steps of one length, and of a slice or a view torch would have to prove, for
every length, that it fits. On a device these are slower than what they stand for.

Legend: B batch, T tokens, N steps or pieces, C tokens of a piece.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch._higher_order_ops.scan import scan

Step = Callable[..., tuple[Float[Tensor, "*state"], Float[Tensor, "..."]]]


def recurrence(
    step: Step, initial: Float[Tensor, "*state"], *sequences: Float[Tensor, "N ..."]
) -> tuple[Float[Tensor, "*state"], Float[Tensor, "N ..."]]:
    """Run `step(state, *of_each_sequence) -> state, output` N ≥ 1 times; return the last state and all outputs.

    It is one operator of torch, whatever N is.
    """

    def separate(state: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        after, output = step(state, *inputs)
        return after, output.clone()  # which may be no other tensor's memory

    last, outputs = scan(separate, initial.clone(), sequences)
    return last, outputs


def pieces(x: Float[Tensor, "B T *entries"], n_pieces: int, length: int) -> Float[Tensor, "B N C *entries"]:
    """Cut a sequence into pieces of one length; zeros stand where it is over."""
    padded = F.pad(x, (0, 0) * (x.dim() - 2) + (0, 1))
    at_N1 = torch.arange(n_pieces, device=x.device)[:, None] * length
    return padded[:, (at_N1 + torch.arange(length, device=x.device)).clamp(max=x.shape[1])]


def joined(x: Float[Tensor, "B N C *entries"], first: int, last: int) -> Float[Tensor, "B T *entries"]:
    """Join pieces, and take what stands from `first` to before `last`; it lies within."""
    at_T = torch.arange(first, last, device=x.device)
    return x[:, at_T // x.shape[2], at_T % x.shape[2]]
