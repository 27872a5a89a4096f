"""Two controls of `aiether`: its formula on the same window in another order of time, from the same newest weights.

    reversed       time runs backwards: the increments in reverse order, each with the other sign
    time-shuffled  the increments in an order that is drawn, one for all tensors of the unit

Only the small matrix is reordered: the step's coefficients are led back to the increments that they belong to.

Legend: n increments; *shape the tensor's own.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from growlab.growth.operators.aiether import AietherOptions, founding_step
from growlab.growth.path import TensorPath
from growlab.growth.source import Source, tensor_by_tensor
from growlab.recipes import register_operator


@register_operator("reversed", "control: aiether on the window in reverse time", options=AietherOptions)
@tensor_by_tensor
def backwards(path: TensorPath, options: AietherOptions, source: Source) -> Float[Tensor, "*shape"]:
    return _step(path, options, source, order_n=torch.arange(len(path.increments)).flip(0), sign=-1)


@register_operator("time-shuffled", "control: aiether on the increments in a random order", options=AietherOptions)
@tensor_by_tensor
def time_shuffled(path: TensorPath, options: AietherOptions, source: Source) -> Float[Tensor, "*shape"]:
    order_n = torch.randperm(len(path.increments), generator=torch.Generator().manual_seed(source.seed))
    return _step(path, options, source, order_n=order_n, sign=1)


def _step(
    path: TensorPath, options: AietherOptions, source: Source, *, order_n: Int[Tensor, " n"], sign: int
) -> Float[Tensor, "*shape"]:
    """Step from W_last as aiether would have, had the increments come in this order with this sign.

    A sign that all share leaves their inner products as they are.
    """
    coefficients_n = torch.zeros(len(order_n), dtype=torch.float64)
    reordered_nn = path.gram[order_n][:, order_n]
    coefficients_n[order_n] = sign * founding_step(reordered_nn, options, source.critical, n_entries=path.last.numel())
    return path.combine(coefficients_n)
