"""When to grow: the seed's stagnation rule, in full.

A check is stagnant when the path is long and bent, τ ≥ τ_crit and κ ≥ κ_crit, and the validation loss
improved by less than `threshold` of itself since the last check. `patience` stagnant checks in a row ask
for growth; one that is not starts the count anew.

Source: AIether technical report. Its code forgot the validation loss.
"""

import math
from dataclasses import dataclass

from growlab.specs import GrowthSpec


@dataclass
class StagnationTrigger:
    """The whole state is two numbers, so that a checkpoint can hold it."""

    stagnant_checks: int = 0
    last_val_loss: float = math.inf

    def check(self, spec: GrowthSpec, tau: float | None, kappa: float | None, val_loss: float) -> bool:
        """True when it is time to grow. A window that never moved (None) is no evidence of stagnation."""
        bent = tau is not None and kappa is not None and tau >= spec.tau_crit and kappa >= spec.kappa_crit
        stagnant = bent and relative_improvement(self.last_val_loss, val_loss) < spec.threshold
        self.stagnant_checks = self.stagnant_checks + 1 if stagnant else 0
        self.last_val_loss = val_loss
        return self.stagnant_checks >= spec.patience

    def look(self, val_loss: float) -> None:
        """Note an evaluation that is not a check: the next check compares with it."""
        self.stagnant_checks = 0
        self.last_val_loss = val_loss


def relative_improvement(before: float, after: float) -> float:
    """(before - after) / before; inf when there is nothing to compare with, so that a first check never counts."""
    return (before - after) / before if math.isfinite(before) and before > 0 else math.inf
