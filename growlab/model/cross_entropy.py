"""The loss of a language model.

Legend: S tokens, V vocabulary.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from growlab.blocks.base import wide
from growlab.data.batches import IGNORED
from growlab.kernels import Door

LARGE = 16_384  # tokens of a vocabulary from which on the loss has a kernel: below, copies of its logits cost little


def cross_entropy(logits_SV: Float[Tensor, "S V"], targets_S: Int[Tensor, " S"]) -> Float[Tensor, ""]:
    """Compute the mean negative log-likelihood over the targets that are predicted, fp32 at least.

    On a GPU it is a kernel (growlab.kernels) where the vocabulary is large.
    """
    loss: Tensor = DOOR(logits_SV, targets_S, IGNORED)
    return loss


def _definition(logits: Tensor, targets: Tensor, ignored: int) -> Tensor:
    return F.cross_entropy(logits.to(wide(logits.dtype)), targets, ignore_index=ignored)


def _kernel() -> Callable[..., Tensor]:
    from growlab.kernels.cross_entropy import cross_entropy

    return cross_entropy


def _fits_kernel(logits: Tensor, targets: Tensor, ignored: int) -> bool:
    return logits.dtype in (torch.float32, torch.bfloat16) and logits.shape[1] >= LARGE


def _examples() -> list[tuple[Tensor | int, ...]]:
    """Logits for three reads of a program, the last not whole; and a token whose target is ignored. In both widths."""
    random = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 9000, generator=random)
    targets = torch.tensor([0, 8999, IGNORED, 4096])
    return [(logits, targets, IGNORED), (logits.to(torch.bfloat16), targets, IGNORED)]


DOOR = Door(name="cross_entropy", definition=_definition, kernel=_kernel, fits=_fits_kernel, examples=_examples)
