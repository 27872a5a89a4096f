"""Sliding-window attention: each token attends to the last `window` tokens, itself included. Linear in T.

How a whole text is read, window_attention says. What is decoded carries the last window - 1 keys, not yet rotated: as
rotary scores depend on distances alone, positions may be counted from the first key that is still seen, and neither
state nor tables grow with the text.

Source: Beltagy et al. 2020, "Longformer"; Jiang et al. 2023, "Mistral 7B". The founding project AGIFORMER meant this;
it computed all T² scores and masked them.

Legend: B batch, T tokens, S tokens still seen, D d_model, H query heads, G key-value heads, E head size.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from growlab.blocks.attn import Attention, AttentionOptions, cost_of_pairs, rotate
from growlab.blocks.base import State
from growlab.blocks.window_attention import band, window_attention
from growlab.errors import LayoutError
from growlab.kinds import Cost, option, register_block


@dataclass(frozen=True, kw_only=True)
class WindowOptions(AttentionOptions):
    window: int = option(128, search=(64, 128, 256), help="tokens that a token sees, itself included")

    kind = "swa"

    def check(self, d_model: int) -> None:
        super().check(d_model)
        if self.window < 2:
            raise LayoutError(f"swa[window={self.window}] must be at least 2, itself and the one before")


def window_cost(d_model: int, options: WindowOptions, seq_len: int) -> Cost:
    """Cost of chunks that are each computed whole, also the last one where T is no multiple of the window."""
    window, kv = options.window, 2 * d_model // options.heads_per_kv
    n_later = max(0, -(-seq_len // window) - 1)
    first = min(seq_len, window)
    whole = cost_of_pairs(d_model, options, seq_len, n_pairs=first**2 + n_later * 2 * window**2)
    return replace(
        whole,
        # queries, and keys and values of two chunks, side by side
        activations=whole.activations + n_later * window * (d_model + 2 * kv),
        state_size=min(seq_len, window - 1) * kv,
    )


@register_block(
    "swa",
    role="sequence",
    summary="attention to a window of the last tokens, linear in T",
    options=WindowOptions,
    cost=window_cost,
)
class SlidingWindowAttention(Attention):
    def __init__(self, d_model: int, options: WindowOptions) -> None:
        super().__init__(d_model, options)
        self.window = options.window

    def forward(self, x_BTD: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        return self._join(self._windowed(*self._heads(x_BTD, start=0)), x_BTD)

    def advance(self, x_BTD: Float[Tensor, "B T D"], state: State) -> tuple[Float[Tensor, "B T D"], State]:
        """Attend from the next tokens; the state is the last window - 1 keys, before rotation, and their values."""
        qk_BTHE, v_BTGE = self._projected(x_BTD)
        q_BTHE, k_BTGE = self._queries_and_keys(qk_BTHE)
        k_BGSE, v_BGSE = behind(state, (k_BTGE, v_BTGE))
        n_kept = state[0].shape[2]
        q_BHTE = rotate(q_BTHE, n_kept).transpose(1, 2)
        turned_BGSE = rotate(k_BGSE.transpose(1, 2), 0).transpose(1, 2)
        if n_kept == 0:
            mixed_BHTE = self._windowed(q_BHTE, turned_BGSE, v_BGSE)
        else:
            mask_TS = band(x_BTD.shape[1], k_BGSE.shape[2], n_kept, self.window, x_BTD.device)
            mixed_BHTE = self._attend(q_BHTE, turned_BGSE, v_BGSE, mask_TS=mask_TS)
        return self._join(mixed_BHTE, x_BTD), self._remembered(k_BGSE, v_BGSE)

    def absorb(self, x_BTD: Float[Tensor, "B T D"], state: State) -> State:
        """Extend the state alone: neither queries nor attention nor output are computed."""
        return self._remembered(*behind(state, self._keys_and_values(x_BTD)))

    def _remembered(self, k_BGSE: Tensor, v_BGSE: Tensor) -> State:
        forgotten = max(0, k_BGSE.shape[2] - (self.window - 1))
        return k_BGSE[:, :, forgotten:], v_BGSE[:, :, forgotten:]

    def _windowed(self, q_BHTE: Tensor, k_BGTE: Tensor, v_BGTE: Tensor) -> Tensor:
        """Attend within the window over all tokens of a text, from its beginning."""
        return window_attention(q_BHTE, k_BGTE, v_BGTE, self.window, self._p_of_weights)


def behind(
    state: State, new: tuple[Float[Tensor, "B T G E"], Float[Tensor, "B T G E"]]
) -> tuple[Float[Tensor, "B G S E"], Float[Tensor, "B G S E"]]:
    """Append keys and values of new tokens to those of the state."""
    k_BGSE, v_BGSE = (torch.cat((kept, tensor.transpose(1, 2)), 2) for kept, tensor in zip(state, new, strict=True))
    return k_BGSE, v_BGSE
