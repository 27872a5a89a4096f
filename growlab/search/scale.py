"""Values of a searched scalar on a scale from 0 to 1, where a step means as much everywhere."""

import math
from collections.abc import Callable
from random import Random

from growlab.domains import CONFIDENCES, Choice, Domain, Fixed, Range, Value, value_type


def to_scale(domain: Domain, value: Value) -> float:
    """The place of a value in its domain: of a choice that of its rank among the values, of a range by its size.

    A value from outside of the domain, such as an older study file's, is at the nearest end.
    """
    return scale_of(domain)(value)


def scale_of(domain: Domain) -> Callable[[Value], float]:
    """The places of values in a domain that many are asked of."""
    match domain:
        case Fixed():
            return lambda value: 0.5
        case Choice(values=values):
            last = max(len(values) - 1, 1)
            return lambda value: values.index(value) / last if value in values else 0.5
        case Range(low=low, high=high) if high == low:
            return lambda value: 0.5
        case Range(low=low, high=high, log=True):
            span = math.log(high / low)
            return lambda value: math.log(min(max(float(value), low), high) / low) / span
        case Range(low=low, high=high):
            return lambda value: (min(max(float(value), low), high) - low) / (high - low)


def from_scale(domain: Domain, place: float) -> Value:
    """The value at a place from 0 to 1; of a choice the nearest one."""
    return value_of(domain)(place)


def value_of(domain: Domain) -> Callable[[float], Value]:
    """The values at places in a domain that many are asked of."""
    match domain:
        case Fixed(value=fixed):
            return lambda place: fixed
        case Choice(values=values):
            last = len(values) - 1
            return lambda place: values[round(min(max(place, 0.0), 1.0) * last)]
        case Range(low=low, high=high, log=log):
            is_whole = value_type(domain) is int

            def value(place: float) -> Value:
                place = min(max(place, 0.0), 1.0)
                number = low * (high / low) ** place if log else low + place * (high - low)
                number = min(max(number, low), high)
                return round(number) if is_whole else number

            return value


def draw_scale(rng: Random, domain: Domain) -> Value:
    """A value drawn evenly: of a choice, or on the scale of a range; around the best guess of one that has one."""
    return draw_of(domain)(rng)


def draw_of(domain: Domain) -> Callable[[Random], Value]:
    """Draws from a domain of which many are made."""
    if isinstance(domain, Choice):
        return lambda rng: rng.choice(domain.values)
    value = value_of(domain)
    if isinstance(domain, Range) and domain.best_guess is not None:
        centre, sd = to_scale(domain, domain.best_guess), CONFIDENCES[domain.confidence]
        return lambda rng: value(_near(rng, centre, sd))
    return lambda rng: value(rng.random())


def _near(rng: Random, centre: float, sd: float) -> float:
    """A draw of the normal distribution on the scale, cut off at its ends: at least a half of it lies between them."""
    while True:
        if 0 <= (place := rng.gauss(centre, sd)) <= 1:
            return place
