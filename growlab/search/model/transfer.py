"""What another study found, as a shape: what its model expects of a configuration, of variance 1 over its own trials.

The model is of the same kind as this study's, over the same features of layouts and the scalars that the *other* one
searched, at their values here; all that it says of the level and the spread of losses is left out. How much of the
shape holds here is learnt from this study's trials (gaussian_process): nothing, where it is of no use. The best
configurations of the other one are candidates and parents of candidates too.

A model that cannot predict the trials that it was made from lends nothing.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from growlab.domains import Fixed, Value, admits
from growlab.search.configuration import Configuration, configuration_of
from growlab.search.model.candidates import Candidate, draw_scalars
from growlab.search.model.encoding import Array, Encoding
from growlab.search.model.outlook import LEAST, MIN_CORRELATION, Outlook, Tried, look_ahead
from growlab.search.past import loss_of
from growlab.search.repair import repair
from growlab.search.sampling import Ask
from growlab.seeds import derived_seed

N_BEST = 10
_KEPT = 1 << 15  # configurations whose shapes are kept


class Transfer:
    """A shape, which is called, and the best configurations of the study that it is of."""

    def __init__(self, ask: Ask, outlook: Outlook) -> None:
        self._outlook = outlook
        assert ask.study.sampler.transferred is not None
        self._scalars = ask.study.sampler.transferred.scalars
        self._fixed = {name: domain.value for name, domain in ask.study.scalars().items() if isinstance(domain, Fixed)}
        self._known: dict[Configuration, float] = {}
        self.best = self._best(ask)

    def __call__(self, configurations: Sequence[Configuration]) -> Array:
        if len(self._known) > _KEPT:
            self._known.clear()
        new = [each for each in dict.fromkeys(configurations) if each not in self._known]
        if new:
            found = self._outlook.standard([self._there(each) for each in new])
            self._known |= dict(zip(new, found.tolist(), strict=True))
        return np.array([self._known[each] for each in configurations])

    def _there(self, configuration: Configuration) -> Configuration:
        """The configuration with the scalars that the other study searched; a value beyond theirs is at their end."""
        values = self._fixed | dict(configuration.params)
        return Configuration(configuration.layout, {name: values[name] for name in self._scalars if name in values})

    def _best(self, ask: Ask) -> list[Candidate]:
        """The best of the other study by what is expected of them, in the space of this one; the rest is drawn."""
        expected = self._outlook.expected.round(9)
        order = sorted(range(len(expected)), key=lambda at: (expected[at], self._outlook.good[at].number))
        found: dict[Configuration, Candidate] = {}
        for at in order[:N_BEST]:
            trial = self._outlook.good[at]
            rng = Random(derived_seed(ask.study.seed, trial.number, "transfer"))
            layout, _ = repair(rng, trial.configuration.layout, ask.menu)
            params = draw_scalars(rng, ask.study.scalars(), _admitted(ask, trial.configuration.params))
            made = Configuration(layout, params)
            words = f"trial {trial.number} of {ask.study.sampler.transfer_from}"
            found.setdefault(made, Candidate(made, description=words))
        return list(found.values())


def _admitted(ask: Ask, params: Mapping[str, Value]) -> dict[str, Value]:
    domains = ask.study.scalars()
    return {
        name: value
        for name, value in params.items()
        if name in domains and not isinstance(domains[name], Fixed) and admits(domains[name], value)
    }


def transfer_of(ask: Ask) -> Transfer | None:
    """What the study was lent when it was created; None where that is nothing, or cannot be told from noise."""
    lent = ask.study.sampler.transferred
    if lent is None:
        return None
    read = [(trial, configuration_of(trial, lent.scalars, ask.menu.kinds)) for trial in lent.trials]
    tried = [Tried(trial.number, made, loss_of(trial)) for trial, made in read if made is not None]
    good = [trial for trial in tried if math.isfinite(trial.value)]
    if len(good) < LEAST or len({trial.value for trial in good}) < 2:
        return None
    outlook = look_ahead(Encoding(lent.scalars, ask.menu, ask.limit.measure), good)
    return Transfer(ask, outlook) if outlook.rank_correlation > MIN_CORRELATION else None
