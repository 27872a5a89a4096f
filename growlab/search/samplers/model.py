"""A model of the objective over layouts and scalars together chooses among the children of what is best.

    first           layouts to start with, then random trials until `startup_trials` are there
    random_share    of the others are random draws: what nobody would have expected to be good
    else            the candidate from which the model expects most (growlab.search.model)

The model decides while it predicts: while the rank correlation of its leave-one-out predictions with what was measured
is above MIN_CORRELATION. Else evolution does, as it does while too little has finished. Of several objectives it looks
for what adds most to their front (growlab.search.model.aim).
"""

from dataclasses import dataclass
from typing import ClassVar

from growlab.scalar import scalar
from growlab.search.samplers.evolution import EvolutionOptions, evolution
from growlab.search.sampling import Ask, Suggestion, first_layout, register_sampler


@dataclass(frozen=True, kw_only=True)
class ModelOptions(EvolutionOptions):
    weighs: ClassVar[bool] = True
    knows_several: ClassVar[bool] = True
    transfers: ClassVar[bool] = True
    random_share: float = scalar(0.05, at_least=0, at_most=1, help="of the trials drawn at random, once it has learnt")


@register_sampler("model", "a model of layouts and scalars chooses what to try", options=ModelOptions)
def model(ask: Ask, options: ModelOptions) -> Suggestion:
    """The layouts to start with, then random draws, then what the model expects most of."""
    from growlab.search.model.suggesting import suggest  # it loads NumPy and SciPy

    if first := first_layout(ask, startup_trials=options.startup_trials):
        return first
    at_random = ask.n_known < options.n_first(ask.study) + options.startup_trials
    found = suggest(ask, at_random=at_random, random_share=options.random_share, tries=options.tries)
    return found or evolution(ask.with_one_value(), options)
