"""Aging evolution on layouts, Optuna's TPE on scalars: the best of a few young trials has a child that nobody tried.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.records import PastTrial
from growlab.scalar import scalar
from growlab.search.draw import Draw, draw_random, first_new
from growlab.search.menu import Menu
from growlab.search.mutations import mutate
from growlab.search.past import loss_of
from growlab.search.repair import repair
from growlab.search.sampling import Ask, SamplerOptions, Suggestion, first_layout, register_sampler
from growlab.study import Study

# Draws that ignore what was learnt, so that no kind dies out for good.
_RANDOM_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class EvolutionOptions(SamplerOptions):
    startup_trials: int = scalar(8, at_least=0, help="drawn at random before anything is learnt")
    population: int = scalar(20, at_least=1, help="youngest trials that may have children")
    tournament: int = scalar(5, at_least=1, help="parents compete in groups of this size")
    tries: int = scalar(200, at_least=1, help="draws before the space is called exhausted")

    def warnings(self, study: Study) -> Iterator[str]:
        return ends_unlearnt(study, self.n_first(study), self.startup_trials)


def ends_unlearnt(study: Study, n_first: int, n_random: int, key: str = "startup_trials") -> Iterator[str]:
    """A warning where all trials are first ones or random ones; `key` is the option that says how many are random."""
    if n_first < study.n_proposals <= n_first + n_random:
        yield (
            f"n_trials {study.n_trials} ends before the search learns: the first "
            f"{(n_first + n_random) * study.repeats} trials are start_with layouts and sampler.{key} random ones"
        )


@register_sampler("evolution", "evolution on layouts, TPE on scalars", options=EvolutionOptions)
def evolution(ask: Ask, options: EvolutionOptions) -> Suggestion:
    """The layouts to start with, then random ones, then children of good young trials."""
    if first := first_layout(ask, startup_trials=options.startup_trials):
        return first
    rng = ask.rng()
    at_random = ask.n_known < options.n_first(ask.study) + options.startup_trials

    def draw() -> Draw:
        return draw_random(rng, ask.menu) if at_random else evolve(rng, ask.menu, ask.past, options)

    params = ask.scalars(startup_trials=options.startup_trials)
    return Suggestion(draw=first_new(draw, ask.past, options.tries, ask.limit.at(params)), params=params)


def evolve(rng: Random, menu: Menu, past: Sequence[PastTrial], options: EvolutionOptions) -> Draw:
    """A child of a good young trial; in a small share of the draws, and without a parent, a random layout."""
    parent = None if rng.random() < _RANDOM_SHARE else pick_parent(rng, past, options)
    if parent is None:
        return draw_random(rng, menu)
    layout, changes = child_of(rng, complete(parse(parent.layout), menu.kinds), menu)
    return Draw(layout=layout, origin="mutation", parent=parent.number, words=changes)


def pick_parent(rng: Random, past: Sequence[PastTrial], options: EvolutionOptions) -> PastTrial | None:
    """The winner of a tournament among the youngest finished trials.

    None when nothing has finished, or when all in the tournament diverged or failed.
    """
    finished = sorted((trial for trial in past if trial.state.is_final), key=lambda trial: trial.number)
    young = finished[-options.population :]
    contenders = rng.sample(young, min(options.tournament, len(young)))
    winner = min(contenders, key=lambda trial: (loss_of(trial), trial.number), default=None)
    return winner if winner and math.isfinite(loss_of(winner)) else None


def child_of(rng: Random, parent: Layout, menu: Menu) -> tuple[Layout, str]:
    """The parent with one or two mutations, first brought into the study's space where it came from outside."""
    layout, changes = repair(rng, parent, menu)
    for _ in range(rng.choice((1, 2))):
        if change := mutate(rng, layout, menu):
            layout, description = change
            changes.append(description)
    return layout, "; ".join(changes)
