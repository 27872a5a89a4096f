"""A growlab plugin: the trigger `share`, which grows a model once, when a share of its budget is spent.

Use it with --plugin: growlab study keys growth.trigger --plugin my_trigger.py
"""

from dataclasses import dataclass

from growlab.domains import Range
from growlab.growth.moment import Memory, Moment
from growlab.recipes import Pace, TriggerOptions, register_trigger
from growlab.scalar import scalar


@dataclass(frozen=True, kw_only=True)
class ShareOptions(TriggerOptions):
    at: float = scalar(0.1, above=0, below=1, search=Range(low=0.02, high=0.5), help="share of the budget")

    def first_growth(self, pace: Pace) -> int:
        return max(pace.eval_every, round(self.at * pace.n_steps))


@register_trigger("share", "a share of the budget is spent", options=ShareOptions)
class Share(Memory):
    remembers = ("has_fired",)

    def __init__(self, options: ShareOptions) -> None:
        self.options, self.has_fired = options, False

    def look(self, moment: Moment) -> None:
        pass

    def check(self, moment: Moment) -> bool:
        return not self.has_fired and moment.progress >= self.options.at

    def forget(self) -> None:
        self.has_fired = True
