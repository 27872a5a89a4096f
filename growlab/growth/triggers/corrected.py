"""When to grow: the path of the weights is a random walk, corrected for noise and for what noise has in common.

τ and κ of a random walk lie far above the seed's thresholds, as those of a healthy run do. Here a check is stagnant
when the drift per increment is less than `drift_crit` of the noise, r̂ < drift_crit, estimated without bias from the
products of increments; `patience` stagnant checks in a row ask for growth; one that is not starts the count anew.

The usual drift test would call momentum a drift: increments that resemble their neighbours have a significant mean
product without going anywhere. So r̂² is the part of the products that does not fall with the distance in time
(growlab.geometry.trajectory.lasting_drift), and it alone decides. `benchmarks/results/triggers.txt` says how often
this fires with and without a drift, beside the seed's rule.
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.domains import Range
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, register_trigger
from growlab.scalar import scalar

_SNAPSHOTS = 8  # below these, a walk is told from a drift too rarely


@dataclass(frozen=True, kw_only=True)
class CorrectedOptions(TriggerOptions):
    wants_lasting_drift: ClassVar[bool] = True
    patience: int = scalar(3, at_least=1, search=Range(low=1, high=5), help="stagnant checks in a row before growth")
    drift_crit: float = scalar(
        0.3,
        above=0,
        search=Range(low=0.15, high=0.4),
        help="drift over noise of an increment, below which a path is a random walk",
    )
    warmup_steps: int = scalar(0, at_least=0, help="steps before the first check")

    def least_window(self) -> int:
        return _SNAPSHOTS

    def first_growth(self, pace: Pace) -> int:
        first_known = max(self.warmup_steps, _SNAPSHOTS * pace.collect_interval_steps)
        first_check = max(1, -(-first_known // pace.eval_every))
        return (first_check + self.patience - 1) * pace.eval_every


@register_trigger("corrected", "the path is a random walk, corrected for noise", options=CorrectedOptions)
class Corrected(Memory):
    remembers = ("stagnant_checks",)

    def __init__(self, options: CorrectedOptions) -> None:
        self.options = options
        self.stagnant_checks = 0

    def look(self, moment: Moment) -> None:
        self.stagnant_checks = 0

    def check(self, moment: Moment) -> bool:
        """Count stagnant checks in a row. A window that is short, or never moved, is no evidence of stagnation."""
        if moment.step < self.options.warmup_steps:
            self.look(moment)
            return False
        known = moment.path is not None and moment.path.n_increments >= _SNAPSHOTS - 1
        drift = moment.lasting_drift
        stagnant = known and drift is not None and drift < self.options.drift_crit**2
        self.stagnant_checks = self.stagnant_checks + 1 if stagnant else 0
        return self.stagnant_checks >= self.options.patience

    def forget(self) -> None:
        self.stagnant_checks = 0
