"""The numbers of a trial, suggested by Optuna's TPE over a study rebuilt in memory.

Our rows are the truth: nothing is stored on Optuna's side, so the same past and the same seed give the
same suggestion. With twenty numbers one suggestion takes a tenth of a second of a core after a hundred trials, and half
a second after a thousand (0.35 to 0.6 s where it was measured).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from growlab.domains import Choice, Domain, Fixed, Range, Value, admits, value_type
from growlab.records import PastTrial
from growlab.search.past import loss_of
from growlab.search.scale import draw_scale
from growlab.seeds import derived_seed
from growlab.study import Study
from growlab.study.flat_keys import renamed
from growlab.study.growth_section import acting

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
    past = [replace(trial, params=renamed(trial.params, scalars)) for trial in past]
    stage = 0
    while ready := {
        name: domain for name, domain in searched.items() if name not in values and acts(name, fixed | values)
    }:
        values |= _asked(past, (seed + stage) % 2**32, startup_trials, ready)
        values |= _guessed(past, seed + stage, startup_trials, ready)
        stage += 1
    return {name: values[name] for name in searched if name in values}


def _guessed(
    past: Sequence[PastTrial], seed: int, startup_trials: int, searched: Mapping[str, Domain]
) -> dict[str, Value]:
    """Draws around the best guesses of ranges, as long as TPE draws at random, which knows of no guess."""
    guesses = {name: each for name, each in searched.items() if isinstance(each, Range) and each.best_guess is not None}
    if not guesses or sum(trial.state.is_final and _fits(trial, searched) for trial in past) >= startup_trials:
        return {}
    return {name: draw_scale(Random(derived_seed(seed, name, "guess")), domain) for name, domain in guesses.items()}


def acts(name: str, values: Mapping[str, Value]) -> bool | None:
    """Whether the scalar of this full name changes anything beside these values; None where that is open still."""
    section, _, key = name.partition(".")
    if section != "growth":
        return True
    return acting(key, {name.removeprefix("growth."): value for name, value in values.items()})


def _asked(
    past: Sequence[PastTrial], seed: int, startup_trials: int, searched: Mapping[str, Domain]
) -> dict[str, Value]:
    import optuna

    # Optuna sorts by name: with a number before it, the order is that of our names without the parts in between
    ranked = sorted(searched, key=lambda name: (name.partition(".")[0], name.rpartition(".")[2], name))
    known_as = {name: f"{ranked.index(name):04d} {name}" for name in searched}
    distributions = {known_as[name]: _distribution(domain) for name, domain in searched.items()}
    sampler = optuna.samplers.TPESampler(
        multivariate=True, constant_liar=True, n_startup_trials=startup_trials, seed=seed
    )
    with _quiet():
        memory = optuna.create_study(sampler=sampler)
        for trial in sorted(past, key=lambda each: each.number):
            if _fits(trial, searched):
                drawn = {known_as[name]: trial.params[name] for name in searched}
                memory.add_trial(_in_memory(trial, drawn, distributions))
        asked = memory.ask(distributions).params
    return {name: asked[known_as[name]] for name in searched}


def _in_memory(
    trial: PastTrial, params: dict[str, Value], distributions: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial":
    """A finished trial as COMPLETE, any other as RUNNING, which TPE takes for a bad one (the constant liar).

    What diverged or failed has the value inf. As FAIL it would be invisible to TPE and proposed again; TPE
    only ranks values, so inf is no more than worse than the worst.
    """
    from optuna.trial import TrialState, create_trial

    if not trial.state.is_final:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=dict(distributions))
    return create_trial(value=loss_of(trial), params=params, distributions=dict(distributions))


def _distribution(domain: Domain) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match domain:
        case Range() if value_type(domain) is int:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        case Range():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Choice():
            return CategoricalDistribution(domain.values)
        case Fixed():
            return CategoricalDistribution((domain.value,))


def _fits(trial: PastTrial, searched: Mapping[str, Domain]) -> bool:
    """Whether the trial has a number in today's domain for every name: an older study file may have asked others."""
    return all(name in trial.params and admits(domain, trial.params[name]) for name, domain in searched.items())


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna announces every study that it makes."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
