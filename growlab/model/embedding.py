"""The rows of an embedding, with a gradient that small vocabularies get faster on a GPU.

torch sorts the ids of a batch, to add up the gradients of each token in a fixed order: some twenty kernels, which take
longer than a small model's attention. Where tokens are few, a product with which token is where does the same in three.

Legend: S tokens of a batch, V vocabulary, D d_model.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

SORTED_FROM = 3072  # ids from which on torch sorts them
MOST_PRODUCTS = 1 << 29  # S · V · D, above which sorting takes no longer


class Embedding(nn.Embedding):
    """nn.Embedding with that gradient."""

    def forward(self, ids_BT: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch D"]:
        return embed(ids_BT, self.weight)


def embed(ids_BT: Int[Tensor, "*batch"], weight_VD: Float[Tensor, "V D"]) -> Float[Tensor, "*batch D"]:
    """Look up the rows of the ids, as F.embedding does."""
    n_products = ids_BT.numel() * weight_VD.numel()
    if weight_VD.device.type != "cuda" or ids_BT.numel() <= SORTED_FROM or n_products > MOST_PRODUCTS:
        return F.embedding(ids_BT, weight_VD)
    looked_up: Tensor = LookUp.apply(ids_BT, weight_VD)  # type: ignore[no-untyped-call]
    return looked_up


class LookUp(torch.autograd.Function):
    """F.embedding, with its gradient as a product."""

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.vocab_size = len(weight)
        return F.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        (ids,) = ctx.saved_tensors
        tokens_V1 = torch.arange(ctx.vocab_size, device=ids.device)[:, None]
        is_there_VS = (tokens_V1 == ids.flatten()).to(grad.dtype)
        return None, is_there_VS @ grad.flatten(0, -2)
