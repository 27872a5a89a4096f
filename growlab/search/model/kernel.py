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
from scipy.spatial.distance import cdist

from growlab.search.model.encoding import Array, Codes, Encoding, distinct

PLACE, COUNT, NUMBER = 2.0, 0.05, 1.0  # prior medians of relevances: of all places together, of a count, of a scalar
_FEW = 8  # layouts, up to which their distances are summed up one by one
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
    which: Array | None = None  # None: each row is one of its own

    def whole(self, weight: float = 1.0) -> Array:
        """All of them times a weight, (n, m)."""
        weighted: Array = weight * self.rows
        return weighted if self.which is None else weighted.take(self.which, axis=0)


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
    for group in encoding.groups:
        if group.sort == "count":
            yield Apart(_counted(some, others, group.columns))
        elif group.sort == "number":
            yield Apart(np.abs(some.columns[:, group.columns] - others.columns[:, group.columns].T))


def _counted(some: Codes, others: Codes, columns: slice) -> Array:
    """Σ |a − b|, of many layouts at once as a product of matrices; either way every sum is exact."""
    if len(some.columns) <= _FEW:
        found: Array = cdist(some.columns[:, columns], others.columns[:, columns], "cityblock")
        return found
    return others.counted(columns).distance(some.columns[:, columns])


def _place_distances(encoding: Encoding, some: Codes, others: Codes) -> Iterator[Apart]:
    if not encoding.places:
        return
    (rows, row_of), (columns, column_of) = some.blocks, others.blocks
    between = encoding.block_distances(rows, columns)
    for at in range(len(encoding.places)):
        here, which = distinct(row_of[:, at], len(rows))
        yield Apart(between[here].take(column_of[:, at], axis=1), which)


def _of_each(between: Array, some: Codes, others: Codes) -> Array:
    """From numbers between different layouts (u, v) to those between configurations (n, m)."""
    if not np.array_equal(others.layout, np.arange(len(others.columns))):
        between = between.take(others.layout, axis=1)
    return between.take(some.layout, axis=0)


# ---- of scalars --------------------------------------------------------------------------------------------------


def _of_scalars(encoding: Encoding, some: Codes, others: Codes) -> Iterator[list[Apart]]:
    """√(s² + x²) − s between configurations, in each group one for every column in which any of them are apart."""
    if not len(some):
        return
    values, which, n_values = some.scalar_values
    apart = _are_apart(some.scalars, others.scalars).tolist()
    for group in encoding.groups:
        if group.sort == "scalar":
            columns = [at for at in range(group.columns.start, group.columns.stop) if apart[at]]
            yield [Apart(_smooth(values[: n_values[at], at], others.scalars[:, at]), which[:, at]) for at in columns]


def _are_apart(some: Array, others: Array) -> Array:
    """Whether any are in a column; where a scalar acts always, none are in that which says so."""
    first = some[0]
    found: Array = (some != first).any(axis=0) | (others != first).any(axis=0)
    return found


def _smooth(some: Array, others: Array) -> Array:
    """Of one column, (n, m)."""
    found: Array = some[:, None] - others
    found *= found
    found += SMOOTH**2
    np.sqrt(found, out=found)
    found -= SMOOTH
    return found


def _summed(columns: Sequence[Apart], some: Codes, others: Codes) -> Array:
    return sum((apart.whole() for apart in columns), np.zeros((len(some), len(others))))
