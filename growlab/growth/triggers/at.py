"""When to grow: at fixed shares of the budget, whatever training does. The control of every other trigger."""

from dataclasses import dataclass

from growlab.domains import Choice, Rising
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, register_trigger
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class AtOptions(TriggerOptions):
    shares: Rising = scalar(
        Rising("0.05"),
        above=0,
        below=1,
        search=Choice(values=(Rising("0.02"), Rising("0.05"), Rising("0.1"), Rising("0.2"))),
        help="shares of the budget, one growth for each: 0.05, or several in one text, '0.05 0.1'",
    )

    def n_growths(self) -> int:
        return len(self.shares.numbers)

    def first_growth(self, pace: Pace) -> int:
        """The first step after which the first share is spent, of a budget in steps."""
        return max(1, round(self.shares.numbers[0] * pace.n_steps))


@register_trigger("at", "shares of the budget are spent", options=AtOptions)
class At(Memory):
    """Fires after the first step whose progress is at least the next share.

    A share that is reached where no growth may begin (in a warm-up, or without room) is made up for once one may.
    """

    remembers = ("n_fired",)

    def __init__(self, options: AtOptions) -> None:
        self._shares, self.n_fired = options.shares.numbers, 0

    def look(self, moment: Moment) -> None:
        pass

    def check(self, moment: Moment) -> bool:
        return False

    def is_due(self, progress: float) -> bool:
        return self.n_fired < len(self._shares) and progress >= self._shares[self.n_fired]

    def forget(self) -> None:
        self.n_fired += 1
