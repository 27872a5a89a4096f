"""Plain forms of what growlab computes by operators of its own, or reads from its own texts.

A generated file has these in their places. They are the same functions, for any device, without Triton and without
anything registered with torch: two models may be loaded into one process.

Legend: B batch, T tokens, E channels, N states of a channel, D numbers of a row, H heads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class BlockSpec:
    """A block, a front end or a head: its kind, its options, and the branches of blocks that it holds."""

    kind: str
    options: Mapping[str, Any]
    branches: tuple[tuple["BlockSpec", ...], ...]

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "BlockSpec":
        """Read what config.json says."""
        branches = tuple(tuple(cls.read(held) for held in branch) for branch in raw.get("branches", ()))
        return cls(raw["kind"], raw["options"], branches)


def rms_norm(x: Tensor, gain_D: Tensor, eps: float) -> Tensor:
    """Normalise rows, times a learnt gain."""
    return F.rms_norm(x, gain_D.shape, gain_D, eps)


def fused_attention(q_BHTE: Tensor, k_BGSE: Tensor, v_BGSE: Tensor, **options: Any) -> Tensor:
    """Attend, by the kernel that torch prefers."""
    return F.scaled_dot_product_attention(q_BHTE, k_BGSE, v_BGSE, **options)


def selective_scan(
    u_BTE: Tensor, dt_BTE: Tensor, a_NE: Tensor, b_BTN: Tensor, c_BTN: Tensor, h_BNE: Tensor
) -> tuple[Tensor, Tensor]:
    """Scan T ≥ 1 tokens from the state before the first; return y and the state after the last.

    h_t = exp(Δ_t A) · h_{t-1} + B_t Δ_t u_t,   y_t = Σ_n C_t h_t
    """
    x_BTE, outputs = dt_BTE * u_BTE, []
    for t in range(u_BTE.shape[1]):
        decay_BNE = (dt_BTE[:, t, None] * a_NE).exp()
        h_BNE = torch.addcmul(x_BTE[:, t, None] * b_BTN[:, t, :, None], decay_BNE, h_BNE)
        outputs.append((h_BNE * c_BTN[:, t, :, None]).sum(1))
    return torch.stack(outputs, dim=1), h_BNE


def recurrence(
    step: Callable[..., tuple[Tensor, Tensor]], initial: Tensor, *sequences: Tensor
) -> tuple[Tensor, Tensor]:
    """Run `step(state, *of_each_sequence) -> state, output` over sequences; return the last state and all outputs."""
    state, outputs = initial, []
    for inputs in zip(*(sequence.unbind() for sequence in sequences), strict=True):
        state, output = step(state, *inputs)
        outputs.append(output)
    return state, torch.stack(outputs)
