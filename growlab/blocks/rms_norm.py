"""RMSNorm: a row over the root of its mean square, times a learnt gain.

Legend: D numbers of a row.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from growlab.kernels import Door

WIDEST = 4096  # numbers of a row that the kernel takes


def rms_norm(x: Float[Tensor, "*rows D"], gain_D: Float[Tensor, " D"], eps: float) -> Float[Tensor, "*rows D"]:
    """Normalise rows. On a GPU it is a kernel (growlab.kernels), but where a compiler fuses it with what is around."""
    normed: Tensor = (_definition if torch.compiler.is_compiling() else DOOR)(x, gain_D, eps)
    return normed


class RMSNorm(nn.RMSNorm):
    """nn.RMSNorm through the door of `rms_norm`."""

    eps: float

    def forward(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        return rms_norm(x, self.weight, self.eps)


def _definition(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, gain.shape, gain, eps)


def _kernel() -> Callable[..., Tensor]:
    from growlab.kernels.rms_norm import rms_norm

    return rms_norm


def _fits_kernel(x: Tensor, gain: Tensor, eps: float) -> bool:
    return x.dtype == gain.dtype == torch.float32 and x.shape[-1] <= WIDEST and x.numel() > 0


def _examples() -> list[tuple[Tensor | float, ...]]:
    """Pieces of several rows, of which the last is not whole, and of one; more of them than programs."""
    random = torch.Generator().manual_seed(0)
    narrow, wide = torch.randn(2, 2570, 96, generator=random), torch.randn(3, 2100, generator=random)
    return [(x, torch.randn(x.shape[-1], generator=random), 1e-6) for x in (narrow, wide)]


DOOR = Door(name="rms_norm", definition=_definition, kernel=_kernel, fits=_fits_kernel, examples=_examples)
