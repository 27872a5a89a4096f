"""How far configurations of a study are from each other, where no model has learnt what matters.

Gower's distance over the study's parameters: the weighted mean of the differences of all that act in either of the two.
Names differ by 0 or 1, numbers by their distance over the range (of logarithms where the domain is logarithmic), and
what acts in one of the two alone by 1. An option of a block weighs a quarter, everything else 1.

Source: Gower, A general coefficient of similarity and some of its properties, Biometrics 27 (1971).

Legend: n known configurations, k parameters.
"""

import math
from collections.abc import Sequence

import numpy as np

from growlab.domains import Range, Value, admits, highest, lowest
from growlab.search.configuration import Configuration
from growlab.search.parameters import Parameter, ParameterSpace

OPTION_WEIGHT = 0.25


class Nearness:
    """Distances to known configurations."""

    def __init__(self, space: ParameterSpace, known: Sequence[Configuration]) -> None:
        self._space = space
        self._places = np.array([self._place(each) for each in known])  # (n, k)
        self._is_number = np.array([parameter.is_ordered for parameter in space.parameters])
        self._weight = np.array([OPTION_WEIGHT if each.is_option else 1.0 for each in space.parameters])
        self._acts = ~np.isnan(self._places)
        self._acting_weight = self._acts @ self._weight  # (n,)

    def distances(self, point: Configuration) -> np.ndarray:
        """From a point to every known configuration, from 0 to 1."""
        place = np.array(self._place(point))
        [here] = np.nonzero(~np.isnan(place))  # few of all parameters: the others differ by what acts there
        weight, acts_there = self._weight[here], self._acts[:, here]
        difference = np.abs(self._places[:, here] - place[here])
        difference = np.where(self._is_number[here], difference, difference > 0)
        difference = np.where(acts_there, difference, 1.0)
        there_alone = self._acting_weight - acts_there @ weight
        found: np.ndarray = (there_alone + (difference * weight).sum(axis=1)) / (there_alone + weight.sum())
        return found

    def _place(self, point: Configuration) -> list[float]:
        """For each parameter its place; nan for one that does not act, or whose value the study does not know."""
        values = self._space.encode(point)
        return [
            _number(known, values[known.name])
            if known.name in values and admits(known.domain, values[known.name])
            else math.nan
            for known in self._space.parameters
        ]


def _number(known: Parameter, value: Value) -> float:
    """The place of a number in its range, 0 to 1; the index of a name."""
    if not known.is_ordered:
        assert not isinstance(known.domain, Range)
        return float(known.domain.values.index(value))
    low, high, at = lowest(known.domain), highest(known.domain), float(value)
    if isinstance(known.domain, Range) and known.domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low) if high > low else 0.0
