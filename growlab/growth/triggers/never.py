"""No growth: the layout that a trial begins with is the one that it ends with."""

from growlab.growth.moment import Memory, Moment
from growlab.recipes import NEVER, TriggerOptions, register_trigger


@register_trigger(NEVER, "the model stays as deep as it begins")
class Never(Memory):
    def __init__(self, options: TriggerOptions) -> None:
        pass

    def look(self, moment: Moment) -> None:
        pass

    def check(self, moment: Moment) -> bool:
        return False

    def forget(self) -> None:
        pass
