"""Random search: every layout and every scalar drawn anew, whatever came before. The control of every other sampler."""

from dataclasses import dataclass
from typing import ClassVar

from growlab.scalar import scalar
from growlab.search.draw import draw_random, first_new
from growlab.search.sampling import Ask, SamplerOptions, Suggestion, first_layout, register_sampler


@dataclass(frozen=True, kw_only=True)
class RandomOptions(SamplerOptions):
    learns: ClassVar[bool] = False
    tries: int = scalar(200, at_least=1, help="draws before the space is called exhausted")


@register_sampler("random", "layouts and scalars at random; nothing is learnt", options=RandomOptions)
def random(ask: Ask, options: RandomOptions) -> Suggestion:
    """A random layout that nobody has tried, with random scalars; first the layouts to start with."""
    never = len(ask.past) + 1
    if first := first_layout(ask, startup_trials=never):
        return first
    rng = ask.rng()
    params = ask.scalars(startup_trials=never)
    draw = first_new(lambda: draw_random(rng, ask.menu), ask.past, options.tries, ask.limit.at(params))
    return Suggestion(draw=draw, params=params)
