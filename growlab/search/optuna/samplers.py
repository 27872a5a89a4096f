"""Optuna's samplers as they are, but for the time that they take to find what all trials have in common.

They compare every distribution of every trial at each decision, most of TPE's time at 3,000 trials. Ours are one object
for each name, so that to compare names is enough.
"""

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState


class _SharedSpace(BaseSampler):
    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that every completed trial has, and of which there is a choice."""
        completed = _completed(study)
        if not completed:
            return {}
        names = set(completed[0].distributions).intersection(*(known.distributions for known in completed))
        found = {name: completed[-1].distributions[name] for name in sorted(names)}
        return {name: distribution for name, distribution in found.items() if not distribution.single()}


class Tpe(_SharedSpace, TPESampler):
    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Those of all completed trials; of several objectives none, as Optuna suggests each on its own there."""
        return {} if len(study.directions) > 1 else super().infer_relative_search_space(study, trial)


class Gp(_SharedSpace, GPSampler):
    pass


class Nsga2(_SharedSpace, NSGAIISampler):
    """Its generations are counted, not kept with each trial: by number, each so many completed trials are one.

    Where one trial follows the other that is what Optuna's own keeps.
    """

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        return len(_completed(study)) // self._size

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        return _completed(study)[generation * self._size : (generation + 1) * self._size]

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        for generation in range(1, self.get_trial_generation(study, trial) + 1):
            self.get_parent_population(study, generation)  # kept by Optuna, and then by number; else it recurs for each
        found: dict[str, Any] = super().sample_relative(study, trial, search_space)
        return found

    @property
    def _size(self) -> int:
        assert self.population_size is not None
        return self.population_size


def _completed(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
