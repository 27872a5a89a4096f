"""Optuna's NSGA-II over layouts and scalars together, as it comes.

Generations of completed trials, by number; a child takes each parameter that all parents have of one of them, or anew.
Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from growlab.scalar import scalar
from growlab.search.samplers.evolution import ends_unlearnt
from growlab.search.samplers.tpe import OptunaOptions
from growlab.search.sampling import Ask, Suggestion, first_layout, register_sampler
from growlab.study import Study


@dataclass(frozen=True, kw_only=True)
class Nsga2Options(OptunaOptions):
    population_size: int = scalar(50, at_least=2, help="completed trials of a generation; the first one is random")

    def warnings(self, study: Study) -> Iterator[str]:
        return ends_unlearnt(study, self.n_first(study), self.population_size, "population_size")


@register_sampler("nsga2", "Optuna's NSGA-II on layouts and scalars", options=Nsga2Options)
def nsga2(ask: Ask, options: Nsga2Options) -> Suggestion:
    """The layouts to start with, then a random generation, then children of the best so far."""
    if first := first_layout(ask, startup_trials=options.population_size):
        return first
    from growlab.search.optuna.samplers import Nsga2
    from growlab.search.optuna.whole import suggest

    def made(seed: int) -> Nsga2:
        return Nsga2(seed=seed, population_size=options.population_size)

    return suggest(ask, made, n_random=options.population_size, tries=options.asks)
