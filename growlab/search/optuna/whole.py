"""Whole configurations, layouts and scalars, as one of Optuna's samplers suggests them.

What diverged or failed, or broke a constraint, is a FAIL, as in any study of Optuna's: no sampler of its own learns
from it.
"""

import math
from collections.abc import Callable
from random import Random

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from growlab.records import PastTrial
from growlab.search.configuration import configuration_of
from growlab.search.draw import Draw, draw_random, first_new
from growlab.search.kept import Kept
from growlab.search.optuna.distributions import parameter_distribution, suggested, to_optuna
from growlab.search.optuna.memory import Memory, complete, failed, opened, quiet, running
from growlab.search.parameters import ParameterSpace, Values
from growlab.search.past import loss_of
from growlab.search.sampling import Ask, Suggestion
from growlab.search.scale import draw_scale
from growlab.seeds import derived_seed


def suggest(
    ask: Ask, make_sampler: Callable[[int], BaseSampler], *, n_random: int, tries: int, padded: bool = False
) -> Suggestion:
    """What the sampler suggests that is made from a seed, random until `n_random` trials have completed.

    A layout beyond layouts.max_params is asked for anew, from another seed, and after so many tries drawn at random.
    `padded`: a setting has all parameters, also those that do not act. Raises UsageError where no layout is allowed.
    """
    told = _TOLD.get(_key(ask, padded), lambda: Told(ask, padded=padded))
    past = told.memory.trials(ask.past)
    n_objectives = len(ask.study.objectives)
    n_completed = sum(trial.state is TrialState.COMPLETE for trial in past)
    origin = "random" if n_completed < n_random else "optuna"
    for seed in (ask.seed, *(derived_seed(ask.seed, at) for at in range(1, tries))):
        with quiet():
            trial = opened(past, make_sampler(seed), n_objectives).ask()
            setting = suggested(trial, told.space.parameters, padded=padded)
        found = told.space.configuration(setting)
        if not ask.limit.excess(found.layout):
            return Suggestion(draw=Draw(layout=found.layout, origin=origin), params=found.params)
    rng = ask.rng()
    draw = first_new(lambda: draw_random(rng, ask.menu), ask.past, _RANDOM_TRIES, ask.limit)
    return Suggestion(draw=draw, params=found.params)


_RANDOM_TRIES = 200


class Told:
    """The past of one study as settings of its parameters."""

    def __init__(self, ask: Ask, *, padded: bool) -> None:
        self._kinds, self._domains = ask.menu.kinds, ask.study.scalars()
        self.space = ParameterSpace(ask.menu, self._domains)
        self.memory = Memory(self._read)
        self._padded, self._several = padded, len(ask.study.objectives) > 1
        self._distributions = {known.name: parameter_distribution(known) for known in self.space.parameters}

    def _read(self, trial: PastTrial) -> FrozenTrial | None:
        """None for a trial from outside of the space, such as a layout to start with."""
        configuration = configuration_of(trial, self._domains, self._kinds)
        setting = None if configuration is None else self.space.setting(configuration)
        if setting is None:
            return None
        values = self._padding(trial.number) | setting
        params = {
            known.name: to_optuna(known, values[known.name]) for known in self.space.parameters if known.name in values
        }
        distributions = {name: self._distributions[name] for name in params}
        if not trial.state.is_final:
            return running(trial.number, params, distributions)
        reached = trial.values if self._several else (loss_of(trial),)
        if not reached or math.isinf(loss_of(trial)):
            return failed(trial.number, params, distributions)
        return complete(trial.number, reached, params, distributions)

    def _padding(self, number: int) -> Values:
        """Values of all parameters, at random: were they always the same, others would seem to be worth a trial."""
        rng = Random(derived_seed(number, "padding"))
        return {known.name: draw_scale(rng, known.domain) for known in self.space.parameters} if self._padded else {}


def _key(ask: Ask, padded: bool) -> str:
    """The table of kinds is told by its place in memory, which stays its own while what is kept holds it."""
    several = len(ask.study.objectives) > 1
    return repr((id(ask.menu.kinds), ask.study.layouts, ask.study.scalars(), padded, several))


_TOLD: Kept[Told] = Kept(4)
