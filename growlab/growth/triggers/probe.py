"""When to grow: when a growth that was tried was better than none, at equal spending.

At each share of the budget the trial is forked. One copy trains on as it is, the other grows and trains, each for the
share `share` of the budget; the one with the lower val_loss stays, and the budget pays for both. What forks, trains and
decides is growlab.training.probing; the trigger only says when.
"""

from dataclasses import dataclass

from growlab.domains import Choice, Range, Rising
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, Trying, register_trigger
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(TriggerOptions):
    shares: Rising = scalar(
        Rising("0.1"),
        above=0,
        below=1,
        search=Choice(values=(Rising("0.05"), Rising("0.1"), Rising("0.2"), Rising("0.1 0.3"))),
        help="shares of the budget at which a growth is tried: 0.1, or several in one text, '0.1 0.3'; not where the "
        "budget's rest is no more than both branches cost",
    )
    share: float = scalar(
        0.05,
        above=0,
        below=0.5,
        search=Range(low=0.02, high=0.1, log=True),
        help="share of the budget for which each branch is trained; the dropped one's is spent too",
    )
    least: float = scalar(
        0.0,
        help="gain in val_loss above which the growth is kept, in nats per token; below 0: a loss it may bring",
    )

    def n_growths(self) -> int:
        return len(self.shares.numbers)

    def trying(self) -> Trying:
        return Trying(share=self.share, least=self.least)

    def first_growth(self, pace: Pace) -> int:
        """The first step after which the first share is spent, of a budget in steps."""
        return max(1, round(self.shares.numbers[0] * pace.n_steps))

    def in_vain(self) -> str:
        first = self.shares.numbers[0]
        if self.leaves_some(first):
            return ""
        return (
            f"begins at {first:g} of the budget, and its two branches of {self.share:g} each leave none of it, so that "
            "nothing is ever tried; let it begin earlier, or lower share"
        )

    def leaves_some(self, progress: float) -> bool:
        """Whether a probe that begins at this progress leaves some of the budget to train with what it found."""
        return progress + 2 * self.share < 1


@register_trigger("probe", "a growth that is tried beats none, at equal spending", options=ProbeOptions)
class Probe(Memory):
    """Fires after the first step whose progress is at least the next share, and once for it, whatever was decided.

    A share that is reached where no probe may begin (in a warm-up, in another probe) is made up for once one may; one
    without room in the budget or below max_depth never is.
    """

    remembers = ("n_fired",)

    def __init__(self, options: ProbeOptions) -> None:
        self.options, self.n_fired = options, 0

    def look(self, moment: Moment) -> None:
        pass

    def check(self, moment: Moment) -> bool:
        return False

    def is_due(self, progress: float) -> bool:
        shares = self.options.shares.numbers
        return self.n_fired < len(shares) and progress >= shares[self.n_fired] and self.options.leaves_some(progress)

    def forget(self) -> None:
        self.n_fired += 1
