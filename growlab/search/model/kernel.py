"""How alike two configurations are.

    k(a, b) = signal · exp(−Σ_g relevance_g · d_g(a, b))

d_g is the L1 distance in one group of columns, or of the blocks at one place, counted from one end. Each place has a
relevance of its own, so that nothing is assumed of how places compare; places, counts and pairs of neighbours are
alternatives, and what the past does not speak for is switched off by its prior. A sum of L1 distances in an exponential
is positive definite (a product of Laplace kernels; over categories, of Hamming kernels), and reaches from a nearly
additive model (small relevances, large signal) to one of single points.

A loss is smooth in a scalar, such as the learning rate. There x apart is √(s² + x²) − s instead: a square below s, a
distance above. It is a Bernstein function of x², and so the exponential stays positive definite.

Legend: n, m configurations, g groups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from growlab.search.model.encoding import UNIT, Array, Codes, Encoding

PLACE, COUNT, NUMBER = 2.0, 0.05, 1.0  # prior medians of relevances: of all places together, of a count, of a scalar
SMOOTH = 0.1  # s, as a share of a scalar's range


@dataclass(frozen=True)
class Prior:
    """Independent normal priors of the logarithms of relevances, signal and noise, in this order."""

    mean: Array
    sd: Array


def prior_of(encoding: Encoding) -> Prior:
    """Begin with a relevance of 2 for all places together, of 0.05 for counts, of 1 for scalars; with 1 % of noise."""
    n_places = max(len(encoding.places), 1)
    own = [(PLACE / n_places, 1.0)] * len(encoding.places)
    for group in encoding.groups:
        own.append((NUMBER if group.sort == "scalar" else COUNT, 1.0))
    own += [(1.0, 1.0), (0.01, 2.0)]
    mean, sd = zip(*own, strict=True)
    return Prior(np.log(mean), np.array(sd))


def names_of(encoding: Encoding) -> list[str]:
    """What each relevance is of."""
    places = [f"block {place}" if place >= 0 else f"block {-place} from the end" for place in encoding.places]
    return [*places, *(group.name for group in encoding.groups)]


@dataclass(frozen=True)
class Apart:
    """Distances (n, m) of which many rows are alike: the different ones (d, m), and which of them each row is (n)."""

    rows: Array
    which: Array

    def whole(self, weight: float = 1.0) -> Array:
        """All of them times a weight, (n, m)."""
        found: Array = (weight * self.rows).take(self.which, axis=0)
        return found


def group_distances(encoding: Encoding, some: Codes, others: Codes) -> Array:
    """Distances in every group, (g, n, m)."""
    of_layouts = [_of_each(apart.whole(), some, others) for apart in _of_layouts(encoding, some, others)]
    of_scalars = [_summed(columns, some, others) for columns in _of_scalars(encoding, some, others)]
    return np.array([*of_layouts, *of_scalars])


def weighted_distance(encoding: Encoding, some: Codes, others: Codes, relevances: Array) -> Array:
    """Distances over all groups, weighed, (n, m); each element is summed up by itself, in the order of the groups."""
    if not (len(some) and len(others)):
        return np.zeros((len(some), len(others)))
    weights = iter(relevances.tolist())
    between = np.zeros((len(some.columns), len(others.columns)))
    for apart in _of_layouts(encoding, some, others):
        between += apart.whole(next(weights))
    total = _of_each(between, some, others)
    for columns in _of_scalars(encoding, some, others):
        weight = next(weights)
        for apart in columns:
            total += apart.whole(weight)
    return total


# ---- of layouts --------------------------------------------------------------------------------------------------


def _of_layouts(encoding: Encoding, some: Codes, others: Codes) -> Iterator[Apart]:
    """Between different layouts, in each group."""
    yield from _place_distances(encoding, some, others)
    every = np.arange(len(some.columns))
    for group in encoding.groups:
        if group.sort != "scalar":
            one, other = some.columns[:, group.columns], others.columns[:, group.columns]
            yield Apart(_counted(one, other) if group.sort == "count" else np.abs(one - other.T), every)


def _place_distances(encoding: Encoding, some: Codes, others: Codes) -> Iterator[Apart]:
    if not encoding.places:
        return
    (rows, row_of), (columns, column_of) = some.blocks, others.blocks
    between = encoding.block_distances(rows.tolist(), columns.tolist())
    for at in range(len(encoding.places)):
        here, which = np.unique(row_of[:, at], return_inverse=True)
        yield Apart(between[here].take(column_of[:, at], axis=1), which)


def _counted(one: Array, other: Array) -> Array:
    """Σ |a − b| = Σ a + Σ b − 2 Σ min(a, b), where min(a, b) is the steps of UNIT that both go: an exact product."""
    n_steps = (np.minimum(one.max(axis=0), other.max(axis=0)) / UNIT).astype(np.intp)
    column = np.repeat(np.arange(len(n_steps)), n_steps)
    level = UNIT * (1 + np.arange(len(column)) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps))
    steps = [(each[:, column] >= level).astype(np.float32) for each in (one, other)]
    found: Array = one.sum(axis=1)[:, None] + other.sum(axis=1)[None, :] - 2 * UNIT * (steps[0] @ steps[1].T)
    return found


def _of_each(between: Array, some: Codes, others: Codes) -> Array:
    """From numbers between different layouts (u, v) to those between configurations (n, m)."""
    if not np.array_equal(others.layout, np.arange(len(others.columns))):
        between = between.take(others.layout, axis=1)
    return between.take(some.layout, axis=0)


# ---- of scalars --------------------------------------------------------------------------------------------------


def _of_scalars(encoding: Encoding, some: Codes, others: Codes) -> Iterator[list[Apart]]:
    """√(s² + x²) − s between configurations, in each group one for every column in which any of them are apart."""
    for group in encoding.groups:
        if group.sort == "scalar":
            columns = zip(some.scalars[:, group.columns].T, others.scalars[:, group.columns].T, strict=True)
            yield [_smooth(one, other) for one, other in columns if not _is_one_value(one, other)]


def _is_one_value(one: Array, other: Array) -> bool:
    """As where a scalar acts always."""
    return len(one) > 0 and bool((one == one[0]).all() and (other == one[0]).all())


def _smooth(one: Array, other: Array) -> Apart:
    """Of one column: children have most of their values from a few parents."""
    values, which = np.unique(one, return_inverse=True)
    return Apart(np.sqrt((values[:, None] - other) ** 2 + SMOOTH**2) - SMOOTH, which)


def _summed(columns: Sequence[Apart], some: Codes, others: Codes) -> Array:
    return sum((apart.whole() for apart in columns), np.zeros((len(some), len(others))))
