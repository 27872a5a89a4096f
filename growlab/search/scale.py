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
    place = min(max(place, 0.0), 1.0)
    match domain:
        case Fixed(value=value):
            return value
        case Choice(values=values):
            return values[round(place * (len(values) - 1))]
        case Range(low=low, high=high, log=log):
            number = low * (high / low) ** place if log else low + place * (high - low)
            number = min(max(number, low), high)
            return round(number) if value_type(domain) is int else number


def draw_scale(rng: Random, domain: Domain) -> Value:
    """A value drawn evenly: of a choice, or on the scale of a range; around the best guess of one that has one."""
    if isinstance(domain, Choice):
        return rng.choice(domain.values)
    if isinstance(domain, Range) and domain.best_guess is not None:
        return _near_guess(rng, domain, domain.best_guess)
    return from_scale(domain, rng.random())


def _near_guess(rng: Random, domain: Range, guess: float) -> Value:
    """A draw of the normal distribution on the scale, cut off at its ends: at least a half of it lies between them."""
    centre, sd = to_scale(domain, guess), CONFIDENCES[domain.confidence]
    while True:
        if 0 <= (place := rng.gauss(centre, sd)) <= 1:
            return from_scale(domain, place)
