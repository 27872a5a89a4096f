"""The numbers of a trial, suggested by Optuna's TPE over the past.

Our rows are the truth: nothing is stored on Optuna's side, so the same past and the same seed give the same suggestion,
whatever was kept in memory from the one before (growlab.search.optuna.memory).
"""

from collections.abc import Collection, Mapping, Sequence, Set
from functools import lru_cache, partial
from random import Random
from typing import TYPE_CHECKING

from growlab.domains import Domain, Fixed, Range, Value, admits
from growlab.records import PastTrial
from growlab.search.kept import Kept
from growlab.search.past import loss_of
from growlab.search.scale import draw_scale
from growlab.seeds import derived_seed
from growlab.study import Study
from growlab.study.flat_keys import renamed
from growlab.study.growth_section import DECIDING, acting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def suggest(
    study: Study,
    past: Sequence[PastTrial],
    seed: int,
    *,
    startup_trials: int,
    given: Mapping[str, Value] | None = None,
) -> dict[str, Value]:
    """A value for every scalar that the study does not fix and that acts, by full name, in a fixed order.

    What decides whether others act is drawn before them, and they are learnt from those trials alone in which they
    acted. Random until `startup_trials` have finished. `seed` is below 2**32. What is `given` is not drawn.
    """
    values = dict(given or {})
    scalars = study.scalars()
    fixed = {name: domain.value for name, domain in scalars.items() if isinstance(domain, Fixed)}
    searched = {name: domain for name, domain in scalars.items() if name not in fixed}
    stage = 0
    while ready := {
        name: domain for name, domain in searched.items() if name not in values and acts(name, fixed | values)
    }:
        asked = _MEMORIES.get(repr((ready, list(scalars))), partial(Asked, ready, scalars))
        values |= asked.suggest(past, (seed + stage) % 2**32, startup_trials)
        values |= asked.guessed(past, seed + stage, startup_trials)
        stage += 1
    return {name: values[name] for name in searched if name in values}


def acts(name: str, values: Mapping[str, Value]) -> bool | None:
    """Whether the scalar of this full name changes anything beside these values; None where that is open still."""
    section, _, key = name.partition(".")
    if section != "growth":
        return True
    return acting(key, {each: values[name] for each, name in _DECIDING.items() if name in values})


_DECIDING = {key: f"growth.{key}" for key in DECIDING}


def acting_among(names: tuple[str, ...], values: Mapping[str, Value]) -> Set[str]:
    """Those of the names that `acts` is sure of; a search asks it thousands of times beside the same few values."""
    return _acting_among(names, tuple([(name, values[name]) for name in _DECIDING.values() if name in values]))


@lru_cache(maxsize=1 << 10)
def _acting_among(names: tuple[str, ...], deciding: tuple[tuple[str, Value], ...]) -> Set[str]:
    values = dict(deciding)
    return frozenset(name for name in names if acts(name, values))


def may_matter(name: str, domain: Domain) -> bool:
    """Whether a scalar is searched, or its value decides which others act."""
    return not isinstance(domain, Fixed) or name in _DECIDING.values()


class Asked:
    """Scalars that are asked for together, and what the past says of them."""

    def __init__(self, searched: Mapping[str, Domain], scalars: Collection[str]) -> None:
        """`scalars` are all names of the study, under which an older row's values are read."""
        from growlab.search.optuna.distributions import distribution_of
        from growlab.search.optuna.memory import Memory

        self._searched, self._scalars = searched, scalars
        # Optuna sorts by name: with a number before it, the order is that of our names without the parts in between
        ranked = sorted(searched, key=lambda name: (name.partition(".")[0], name.rpartition(".")[2], name))
        self._known_as = {name: f"{ranked.index(name):04d} {name}" for name in searched}
        self._distributions: dict[str, BaseDistribution] = {
            self._known_as[name]: distribution_of(domain) for name, domain in searched.items()
        }
        self._memory = Memory(self._read)

    def suggest(self, past: Sequence[PastTrial], seed: int, startup_trials: int) -> dict[str, Value]:
        from growlab.search.optuna.memory import opened, quiet
        from growlab.search.optuna.samplers import Tpe

        sampler = Tpe(multivariate=True, constant_liar=True, n_startup_trials=startup_trials, seed=seed)
        if len(past) < startup_trials:  # TPE asks nothing of them: it draws at random
            past = ()
        with quiet():
            asked = opened(self._memory.trials(past), sampler).ask(self._distributions).params
        return {name: asked[self._known_as[name]] for name in self._searched}

    def guessed(self, past: Sequence[PastTrial], seed: int, startup_trials: int) -> dict[str, Value]:
        """Draws around the best guesses of ranges, as long as TPE draws at random, which knows of no guess."""
        guesses = {
            name: domain
            for name, domain in self._searched.items()
            if isinstance(domain, Range) and domain.best_guess is not None
        }
        if not guesses or sum(trial.state.is_final and self._fits(trial) for trial in past) >= startup_trials:
            return {}
        return {name: draw_scale(Random(derived_seed(seed, name, "guess")), each) for name, each in guesses.items()}

    def _fits(self, trial: PastTrial) -> bool:
        """Whether the trial has a number in today's domain for every name: an older file may have asked others."""
        params = renamed(trial.params, self._scalars)
        return all(name in params and admits(domain, params[name]) for name, domain in self._searched.items())

    def _read(self, trial: PastTrial) -> "FrozenTrial | None":
        """A finished trial as COMPLETE, any other as RUNNING, which TPE takes for a bad one (the constant liar).

        What diverged or failed has the value inf. As FAIL it would be invisible to TPE and proposed again; TPE
        only ranks values, so inf is no more than worse than the worst. None for a trial without a number in today's
        domain for every name: an older study file may have asked others.
        """
        from growlab.search.optuna.memory import complete, running

        if not self._fits(trial):
            return None
        params = renamed(trial.params, self._scalars)
        drawn = {self._known_as[name]: params[name] for name in self._searched}
        if not trial.state.is_final:
            return running(trial.number, drawn, self._distributions)
        return complete(trial.number, [loss_of(trial)], drawn, self._distributions)


_MEMORIES: Kept[Asked] = Kept(8)  # a study has one for each step in which its scalars are drawn
