"""When to grow: the seed's stagnation rule, in full.

A check is stagnant when the path is long and bent, τ ≥ τ_crit and κ ≥ κ_crit, and the validation loss
improved by less than `threshold` of itself since the last check. `patience` stagnant checks in a row ask
for growth; one that is not starts the count anew.

Source: AIether technical report. Its code forgot the validation loss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from growlab.domains import Range
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, register_trigger
from growlab.scalar import scalar

_SNAPSHOTS = 3  # without which there is no κ


@dataclass(frozen=True, kw_only=True)
class StagnationOptions(TriggerOptions):
    patience: int = scalar(5, at_least=1, search=Range(low=3, high=10), help="stagnant checks in a row before growth")
    threshold: float = scalar(
        0.15, at_least=0, help="least relative improvement of val_loss between checks that counts as progress"
    )
    tau_crit: float = scalar(2.0, at_least=0, search=Range(low=1.5, high=3.0), help="τ from which a path is long")
    kappa_crit: float = scalar(0.5, at_least=0, search=Range(low=0.3, high=1.0), help="κ from which a path is bent")
    warmup_steps: int = scalar(400, at_least=0, search=Range(low=300, high=800), help="steps before the first check")

    def critical(self) -> Mapping[str, float]:
        return {"tau": self.tau_crit, "kappa": self.kappa_crit}

    def least_window(self) -> int:
        return _SNAPSHOTS

    def first_growth(self, pace: Pace) -> int:
        """The earliest step at which a model can grow.

        The first evaluation has nothing to compare its loss with, and a check needs three snapshots; `patience` of
        them in a row must be stagnant.
        """
        first_snapshots = _SNAPSHOTS * pace.collect_interval_steps
        first_check = max(2, math.ceil(max(self.warmup_steps, first_snapshots) / pace.eval_every))
        return (first_check + self.patience - 1) * pace.eval_every

    def too_late(self, pace: Pace) -> str:
        first, n_steps, interval = self.first_growth(pace), pace.n_steps, pace.collect_interval_steps
        if first < n_steps:
            return ""
        if self.warmup_steps >= n_steps:
            return f"growth.warmup_steps {self.warmup_steps} leaves none of the budget's {n_steps:,} steps; lower it"
        if _SNAPSHOTS * interval >= n_steps:
            return (
                f"growth.collect_interval_steps {interval} takes three snapshots in no less than "
                f"{_SNAPSHOTS * interval} steps, of the budget's {n_steps:,}; lower it"
            )
        return (
            f"growth.patience {self.patience} with train.eval_every {pace.eval_every} and growth.warmup_steps "
            f"{self.warmup_steps} lets a model grow at step {first:,} at the earliest, and the budget ends at "
            f"{n_steps:,}; lower them"
        )


@register_trigger("stagnation", "the path is long and bent and val_loss stands still", options=StagnationOptions)
class Stagnation(Memory):
    """The seed's rule; its whole state is two numbers."""

    remembers = ("stagnant_checks", "last_val_loss")

    def __init__(self, options: StagnationOptions) -> None:
        self.options = options
        self.stagnant_checks = 0
        self.last_val_loss = math.inf

    def look(self, moment: Moment) -> None:
        """Note an evaluation that is not a check: the next check compares with it."""
        self.stagnant_checks = 0
        self.last_val_loss = moment.val_loss

    def check(self, moment: Moment) -> bool:
        """Count stagnant checks in a row. A window that never moved (None) is no evidence of stagnation."""
        options, tau, kappa = self.options, moment.tau, moment.kappa
        if moment.step < options.warmup_steps:
            self.look(moment)
            return False
        bent = tau is not None and kappa is not None and tau >= options.tau_crit and kappa >= options.kappa_crit
        stagnant = bent and relative_improvement(self.last_val_loss, moment.val_loss) < options.threshold
        self.stagnant_checks = self.stagnant_checks + 1 if stagnant else 0
        self.last_val_loss = moment.val_loss
        return self.stagnant_checks >= options.patience

    def forget(self) -> None:
        self.stagnant_checks = 0


def relative_improvement(before: float, after: float) -> float:
    """The share (before - after) / before; inf when there is nothing to compare with, so that no first check counts."""
    return (before - after) / before if math.isfinite(before) and before > 0 else math.inf
