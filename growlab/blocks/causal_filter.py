"""A short filter of each channel over the last tokens: what a recurrence is given instead of single tokens.

    y_t = f(bias + Σ_k weight_k · x_{t-K+1+k}),    f is silu or nothing

Legend: B batch, T tokens, E channels, K tokens that the filter sees, S = K - 1 of them past.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.kernels import Door


def causal_filter(
    filter: nn.Conv1d, x_BTE: Float[Tensor, "B T E"], past_BES: Float[Tensor, "B E S"], *, silu: bool = False
) -> tuple[Float[Tensor, "B T E"], Float[Tensor, "B E S"]]:
    """Filter T ≥ 1 tokens; return what it gives, and the past that the next tokens see.

    On a GPU it is a kernel (growlab.kernels), in fp32 under autocast too.
    """
    assert filter.bias is not None
    y_BTE, past_BES = DOOR(x_BTE, past_BES.to(x_BTE.dtype), filter.weight, filter.bias, silu)
    return y_BTE, past_BES


def _definition(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> tuple[Tensor, Tensor]:
    seen_BES = torch.cat((past, x.transpose(1, 2)), dim=2)
    z_BET = F.conv1d(seen_BES, weight, bias, groups=len(weight))
    y_BTE = (F.silu(z_BET) if silu else z_BET).transpose(1, 2)
    return y_BTE, seen_BES[:, :, seen_BES.shape[2] - past.shape[2] :]


def _kernel() -> Callable[..., tuple[Tensor, Tensor]]:
    from growlab.kernels.causal_filter import causal_filter

    return causal_filter


def _fits_kernel(x: Tensor, past: Tensor, weight: Tensor, bias: Tensor, silu: bool) -> bool:
    return x.dtype in (torch.float32, torch.bfloat16) and weight.dtype == bias.dtype == torch.float32


def _examples() -> list[tuple[Tensor | bool, ...]]:
    """Two programs of tokens and two of channels, neither whole; in fp32 and in bf16."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    B, T, E, K = 2, 21, 144, 4
    x, past, *weights = draw(B, T, E), draw(B, E, K - 1), draw(E, 1, K), draw(E)
    return [(x, past, *weights, True), (x.to(torch.bfloat16), past.to(torch.bfloat16), *weights, True)]


DOOR = Door(
    name="causal_filter", definition=_definition, kernel=_kernel, fits=_fits_kernel, examples=_examples, tolerance=2e-6
)
