"""Our domains as Optuna's distributions."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from growlab.domains import Choice, Domain, Fixed, Range, value_type


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
