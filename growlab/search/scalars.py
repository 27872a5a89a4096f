"""The numbers of a trial, suggested by Optuna's TPE over a study rebuilt in memory.

Our rows are the truth: nothing is stored on Optuna's side, so the same past and the same seed give the
same suggestion. With twenty numbers one suggestion takes a tenth of a second of a core after a hundred trials, and half
a second after a thousand (0.35 to 0.6 s where it was measured).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from growlab.domains import Choice, Domain, Fixed, Range, Value, admits
from growlab.records import PastTrial
from growlab.scalar import scalars_of
from growlab.search.past import loss_of
from growlab.study import SEARCHED, Study

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_TYPES = {
    f"{section}.{key}": known.type for section, spec in SEARCHED.items() for key, known in scalars_of(spec).items()
}


def suggest(
    study: Study, past: Sequence[PastTrial], seed: int, given: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """A value for every scalar that the study does not fix, by full name such as 'train.lr', in a fixed order.

    Random until sampler.startup_trials have finished. `seed` is below 2**32. What is `given` is not drawn.
    """
    values = dict(given or {})
    open_ = {name: domain for name, domain in study.scalars().items() if not isinstance(domain, Fixed)}
    searched = {name: domain for name, domain in open_.items() if name not in values}
    if searched:
        values |= _asked(study, past, seed, searched)
    return {name: values[name] for name in open_}


def _asked(study: Study, past: Sequence[PastTrial], seed: int, searched: Mapping[str, Domain]) -> dict[str, Value]:
    import optuna

    distributions = {name: _distribution(domain, _TYPES[name]) for name, domain in searched.items()}
    sampler = optuna.samplers.TPESampler(
        multivariate=True, constant_liar=True, n_startup_trials=study.sampler.startup_trials, seed=seed
    )
    with _quiet():
        memory = optuna.create_study(sampler=sampler)
        for trial in sorted(past, key=lambda each: each.number):
            if _fits(trial, searched):
                memory.add_trial(_in_memory(trial, distributions))
        return dict(memory.ask(distributions).params)


def _in_memory(trial: PastTrial, distributions: Mapping[str, "BaseDistribution"]) -> "FrozenTrial":
    """A finished trial as COMPLETE, any other as RUNNING, which TPE takes for a bad one (the constant liar).

    What diverged or failed has the value inf. As FAIL it would be invisible to TPE and proposed again; TPE
    only ranks values, so inf is no more than worse than the worst.
    """
    from optuna.trial import TrialState, create_trial

    params = {name: trial.params[name] for name in distributions}
    if not trial.state.is_final:
        return create_trial(state=TrialState.RUNNING, params=params, distributions=dict(distributions))
    return create_trial(value=loss_of(trial), params=params, distributions=dict(distributions))


def _distribution(domain: Domain, kind: type) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match domain:
        case Range() if kind is int:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        case Range():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Choice():
            return CategoricalDistribution(domain.values)
        case Fixed():
            return CategoricalDistribution((domain.value,))


def _fits(trial: PastTrial, searched: Mapping[str, Domain]) -> bool:
    """Whether the trial has a number in today's domain for every name: an older study file may have asked others."""
    return all(
        name in trial.params and admits(domain, _TYPES[name], trial.params[name]) for name, domain in searched.items()
    )


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
