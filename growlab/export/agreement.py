"""Is what was exported the model that was trained? Decided by logits, before a folder appears.

Legend: B batch, T tokens, V vocabulary.
"""

from jaxtyping import Float
from torch import Tensor

from growlab.errors import CheckpointError

TOLERANCE = 1e-4  # of the largest logit, or of 1: fp32 in another order of sums


def require_close(reading: str, logits_BTV: Float[Tensor, "B T V"], expected_BTV: Float[Tensor, "B T V"]) -> None:
    """Raise CheckpointError unless the logits of an exported model are those of the trained one.

    `reading` says what was read, and how.
    """
    off, largest = float((logits_BTV - expected_BTV).abs().max()), float(expected_BTV.abs().max())
    if not off <= TOLERANCE * max(1.0, largest):
        raise CheckpointError(
            f"the exported model reads {reading} otherwise than the trained one: its logits are off by up to "
            f"{off:.2g}; nothing was written. This is a fault of growlab: please report it with the trial's layout"
        )
