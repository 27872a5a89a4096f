"""A growlab plugin: the sampler `climb`, which changes the best trial so far, and leaves its scalars to TPE.

Use it with --plugin: growlab study run quickstart --plugin my_sampler.py --name climbed --set sampler=climb
"""

from dataclasses import dataclass

from growlab.kinds import complete
from growlab.layout import parse
from growlab.scalar import scalar
from growlab.search.draw import Draw, draw_random, first_new
from growlab.search.past import loss_of
from growlab.search.samplers.evolution import child_of
from growlab.search.sampling import Ask, SamplerOptions, Suggestion, first_layout, register_sampler


@dataclass(frozen=True, kw_only=True)
class ClimbOptions(SamplerOptions):
    patience: int = scalar(8, at_least=1, help="random layouts before the best is changed")


@register_sampler("climb", "the best trial so far, changed", options=ClimbOptions)
def climb(ask: Ask, options: ClimbOptions) -> Suggestion:
    if first := first_layout(ask, startup_trials=options.patience):
        return first
    rng, finished = ask.rng(), [trial for trial in ask.past if trial.state.is_final]

    def draw() -> Draw:
        if len(finished) < options.patience:
            return draw_random(rng, ask.menu)
        best = min(finished, key=loss_of)
        layout, changes = child_of(rng, complete(parse(best.layout), ask.menu.kinds), ask.menu)
        return Draw(layout=layout, origin="mutation", parent=best.number, words=changes)

    layout = first_new(draw, ask.past, 100, ask.limit)
    return Suggestion(draw=layout, params=ask.scalars(startup_trials=options.patience))
