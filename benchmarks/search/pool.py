"""A pool of trainings that is all there is: a search gets the nearest one to what it proposed that it has not had yet.

Near is by Gower's distance over the study's parameters: the weighted mean of the differences of all parameters that
act in either point. Names differ by 0 or 1, numbers by their distance over the range (of logarithms where the domain is
logarithmic), and what acts in one of the two alone by 1. An option of a block weighs a quarter, everything else 1.

Source: Gower, A general coefficient of similarity and some of its properties, Biometrics 27 (1971).
"""

import math
from collections.abc import Sequence

import numpy as np

from growlab.domains import Range, Value, highest, lowest
from growlab.search.configuration import Configuration
from growlab.search.parameters import Parameter, ParameterSpace

OPTION_WEIGHT = 0.25


class Pool:
    """The entries in their order, and which of them a search has had."""

    def __init__(self, encoding: ParameterSpace, entries: Sequence[Configuration]) -> None:
        self.encoding, self.entries = encoding, entries
        self._places = np.array([self._place(entry) for entry in entries])  # entries × parameters
        self._is_number = np.array([known.is_ordered for known in encoding.parameters])
        self._weight = np.array([OPTION_WEIGHT if known.is_option else 1.0 for known in encoding.parameters])
        self._left = np.ones(len(entries), bool)

    def take_nearest(self, point: Configuration) -> Configuration:
        """The nearest entry left, the first of equals, which is left no longer. One must be left."""
        distances = np.where(self._left, self.distances(point), np.inf)
        at = int(distances.argmin())
        self._left[at] = False
        return self.entries[at]

    def distances(self, point: Configuration) -> np.ndarray:
        """From a point to every entry, from 0 to 1."""
        own = self._place(point)
        difference = np.abs(self._places - own)
        difference = np.where(self._is_number, difference, difference > 0)
        acts_there, acts_here = ~np.isnan(self._places), ~np.isnan(own)
        difference = np.where(acts_there & acts_here, difference, 1.0)
        weight = self._weight * (acts_there | acts_here)
        return (weight * difference).sum(axis=1) / weight.sum(axis=1)

    def _place(self, point: Configuration) -> list[float]:
        values = self.encoding.encode(point)
        return [_number(known, values[known.name]) if known.name in values else math.nan for known in self._known]

    @property
    def _known(self) -> tuple[Parameter, ...]:
        return self.encoding.parameters


def _number(known: Parameter, value: Value) -> float:
    """The place of a number in its range, 0 to 1; the index of a name."""
    if not known.is_ordered:
        return float(known.domain.values.index(value))
    low, high, at = lowest(known.domain), highest(known.domain), float(value)
    if isinstance(known.domain, Range) and known.domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)
