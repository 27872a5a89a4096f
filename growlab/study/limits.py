"""When a study is over before it has all its trials: what they may spend together, and what is good enough.

Trials under way finish: what a study spends beyond its budget is no more than one trial costs, for each worker.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from growlab.records import Loss, Spent

STUDY_UNITS: Mapping[str, str] = {
    "flops": "FLOPs of all trials; of one that runs those of its newest checkpoint",
    "gpu_hours": "hours of all attempts, added up over workers: several on one GPU (--slots) count each",
    "hours": "hours since the first trial began, whether anybody worked or not",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a study besides its number of trials. Whichever is reached first ends it."""

    budget: Mapping[str, float] = field(default_factory=dict)  # by unit, as STUDY_UNITS has them
    stop_when: Mapping[Loss, float] = field(default_factory=dict)  # by loss, of a completed trial

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.budget or self.stop_when)

    def why_over(self, spent: Spent) -> str:
        """The limit that is reached, in words; '' while none is."""
        for unit, most in self.budget.items():
            if (amount := getattr(spent, unit)) >= most:
                exactly = "" if unit == "hours" else f" ({amount:.4g})"  # hours go on when all is over
                return f"budget.study.{unit} {most:g} is spent{exactly}"
        for loss, target in self.stop_when.items():
            if (best := spent.best.get(loss)) is not None and best <= target:
                return f"stop_when.{loss} {target:g} is reached ({best:.4f})"
        return ""
