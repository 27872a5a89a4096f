"""Attention within a window by torch's own FlashAttention, which knows windows: no mask, and no key twice in memory.

FlexAttention would be compiled anew for each shape, in seconds that a short trial has not; this is one call of what is
there. Products are in bf16, and so are the scores that it multiplies values by.

Gradients of queries are sums over blocks of keys in whatever order these come: of narrow windows, which meet two of
them, it is one sum. torch orders them all where it is asked to be deterministic.

Source: Dao 2023, "FlashAttention-2"; aten::_flash_attention_forward of torch 2.11.

Legend: B batch, T tokens, H query heads, G key-value heads, E head size.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def window_attention(
    q_BHTE: Float[Tensor, "B H T E"],
    k_BGTE: Float[Tensor, "B G T E"],
    v_BGTE: Float[Tensor, "B G T E"],
    window: int,
    p_dropout: float,
) -> Float[Tensor, "B H T E"]:
    """Attend to the last `window` tokens, itself included."""
    T = q_BHTE.shape[2]
    q_BTHE, k_BTGE, v_BTGE = (tensor.transpose(1, 2) for tensor in (q_BHTE, k_BGTE, v_BGTE))
    mixed_BTHE, *_ = torch.ops.aten._flash_attention_forward(
        q_BTHE, k_BTGE, v_BTGE, None, None, T, T, p_dropout, False, False,
        window_size_left=window - 1, window_size_right=0,
    )  # fmt: skip
    attended: Tensor = mixed_BTHE.transpose(1, 2)
    return attended
