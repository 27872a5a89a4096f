"""Attention of each token to the last `window` tokens, itself included, in time and memory linear in their number.

Queries are cut into chunks of `window` tokens. The first chunk sees itself, causally; every other one sees itself and
the chunk before it, through a band: query i of a chunk and key j of the two chunks meet where i < j ≤ i + window. So
products and memory are 2 T window instead of T².

Legend: B batch, T tokens, S keys, H query heads, G key-value heads, E head size, W window, N chunks, M chunks of all
sequences after their first.
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from growlab.blocks.attn import fused_attention
from growlab.kernels import Door
from growlab.kernels.door import Form

WIDEST = 256  # entries of a head that the kernel takes, eight at a time


def window_attention(
    q_BHTE: Float[Tensor, "B H T E"],
    k_BGTE: Float[Tensor, "B G T E"],
    v_BGTE: Float[Tensor, "B G T E"],
    window: int,
    p_dropout: float,
) -> Float[Tensor, "B H T E"]:
    """Attend within the window over all tokens of a text, from its beginning; drop of the weights at a rate."""
    attended: Tensor = DOOR(q_BHTE, k_BGTE, v_BGTE, window, p_dropout)
    return attended


def _definition(q_BHTE: Tensor, k_BGTE: Tensor, v_BGTE: Tensor, window: int, p_dropout: float) -> Tensor:
    W, (B, H, T, E) = window, q_BHTE.shape
    attend = partial(fused_attention, dropout_p=p_dropout, enable_gqa=k_BGTE.shape[1] != H)
    first_BHWE = attend(q_BHTE[:, :, :W], k_BGTE[:, :, :W], v_BGTE[:, :, :W], is_causal=True)
    if T <= W:
        return first_BHWE
    q_MHWE = chunks(q_BHTE, W)[:, 1:].flatten(0, 1)
    k_MGSE, v_MGSE = (with_the_one_before(chunks(tensor, W)).flatten(0, 1) for tensor in (k_BGTE, v_BGTE))
    mask_WS = band(W, 2 * W, W, W, q_BHTE.device)
    later_MHWE = attend(q_MHWE, k_MGSE, v_MGSE, attn_mask=mask_WS)
    later_BHTE = later_MHWE.view(B, -1, H, W, E).transpose(1, 2).flatten(2, 3)
    return torch.cat((first_BHWE, later_BHTE[:, :, : T - W]), dim=2)


def _exported(q_BHTE: Tensor, k_BGTE: Tensor, v_BGTE: Tensor, window: int, p_dropout: float) -> Tensor:
    """Attend to all, through the band: nothing depends on whether the text is longer than the window."""
    T = q_BHTE.shape[2]
    mask_TT, grouped = band(T, T, 0, window, q_BHTE.device), k_BGTE.shape[1] != q_BHTE.shape[1]
    return fused_attention(q_BHTE, k_BGTE, v_BGTE, attn_mask=mask_TT, dropout_p=p_dropout, enable_gqa=grouped)


def band(n_queries: int, n_keys: int, start: int, window: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """Mask of whether query t, at position start + t, sees the key at position s."""
    seen_TS = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return seen_TS.tril(start).triu(start + 1 - window)


def chunks(x_BHTE: Float[Tensor, "B H T E"], size: int) -> Float[Tensor, "B N H W E"]:
    """Cut a sequence into chunks of `size` tokens; zeros fill the last one."""
    B, H, T, E = x_BHTE.shape
    padded_BHTE = F.pad(x_BHTE, (0, 0, 0, -T % size))
    return padded_BHTE.view(B, H, -1, size, E).transpose(1, 2)


def with_the_one_before(x_BNHWE: Float[Tensor, "B N H W E"]) -> Float[Tensor, "B N-1 H 2*W E"]:
    """Chunks but the first, each after its predecessor."""
    return torch.cat((x_BNHWE[:, :-1], x_BNHWE[:, 1:]), dim=3)


# ---- the door to the kernel ------------------------------------------------------------------------------------------


def _kernel() -> Form:
    from growlab.kernels import window_attention as kernels

    return kernels.window_attention


def _fits_kernel(q_BHTE: Tensor, k_BGTE: Tensor, v_BGTE: Tensor, window: int, p_dropout: float) -> bool:
    """Whether there is something beyond the window, in bf16, of heads that FlashAttention takes; without dropout, which
    two forms draw otherwise.
    """
    narrow = all(tensor.dtype == torch.bfloat16 for tensor in (q_BHTE, k_BGTE, v_BGTE))
    T, E = q_BHTE.shape[2:]
    return narrow and window < T and E % 8 == 0 and E <= WIDEST and p_dropout == 0.0


def _examples() -> list[tuple[Tensor | int | float, ...]]:
    """Heads that share keys, and a text of more than two blocks of FlashAttention's."""
    random = torch.Generator().manual_seed(0)
    B, H, G, T, E = 1, 4, 2, 300, 24
    q, k, v = (torch.randn(shape, generator=random).to(torch.bfloat16) for shape in ((B, H, T, E), *[(B, G, T, E)] * 2))
    return [(q, k, v, 30, 0.0)]


DOOR = Door(
    name="window_attention",
    definition=_definition,
    kernel=_kernel,
    fits=_fits_kernel,
    examples=_examples,
    exported=_exported,
    tolerance=2e-2,  # of sums in which each weight is rounded to bf16
    measured=False,
)
