"""Domains and parameters as Optuna's distributions, and their values.

Of a choice between numbers Optuna is told their ranks, and so their order.
"""

from collections.abc import Iterable

from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from growlab.domains import Choice, Domain, Fixed, Range, Value, value_type
from growlab.search.parameters import Parameter, Values


def distribution_of(domain: Domain) -> BaseDistribution:
    match domain:
        case Range() if value_type(domain) is int:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
        case Range():
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case Choice():
            return CategoricalDistribution(domain.values)
        case Fixed():
            return CategoricalDistribution((domain.value,))


def parameter_distribution(known: Parameter) -> BaseDistribution:
    if _is_ranked(known):
        return IntDistribution(0, len(known.domain.values) - 1)  # type: ignore[union-attr]  # a choice
    return distribution_of(known.domain)


def to_optuna(known: Parameter, value: Value) -> Value:
    return _ranked(known).index(value) if _is_ranked(known) else value


def from_optuna(known: Parameter, value: Value) -> Value:
    return _ranked(known)[int(value)] if _is_ranked(known) else value


def suggested(trial: Trial, parameters: Iterable[Parameter], *, padded: bool = False) -> Values:
    """Values that the trial's study suggests: of the parameters that act, or, `padded`, of all."""
    values: Values = {}
    for known in parameters:
        if padded or known.acts(values):
            values[known.name] = from_optuna(known, _suggest(trial, known.name, parameter_distribution(known)))
    return values


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Value:
    match distribution:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)  # type: ignore[return-value]  # no None in ours
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    raise AssertionError(f"no domain is {distribution}")


def _is_ranked(known: Parameter) -> bool:
    return known.is_ordered and isinstance(known.domain, Choice)


def _ranked(known: Parameter) -> list[Value]:
    return sorted(known.domain.values)  # type: ignore[union-attr]  # a choice between numbers
