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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from growlab.search.model.encoding import Array, Codes, Encoding, Group

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


def group_distances(encoding: Encoding, some: Codes, others: Codes) -> Array:
    """Distances in every group, (g, n, m)."""
    found = [*_place_distances(encoding, some, others)]
    for group in encoding.groups:
        one, other = some.columns[:, group.columns], others.columns[:, group.columns]
        found.append(_apart(group, one, other))
    return np.array(found)


def _apart(group: Group, one: Array, other: Array) -> Array:
    match group.sort:
        case "presence":
            return _present(group, one, other)
        case "scalar":
            return _smooth_distances(one, other)
        case _:
            found: Array = cdist(one, other, "cityblock")
            return found


def _place_distances(encoding: Encoding, some: Codes, others: Codes) -> Iterator[Array]:
    if not encoding.places:
        return
    rows, row_of = np.unique(some.places, return_inverse=True)
    columns, column_of = np.unique(others.places, return_inverse=True)
    between = encoding.block_distances(rows.tolist(), columns.tolist())
    row_of, column_of = row_of.reshape(some.places.shape), column_of.reshape(others.places.shape)
    for at in range(len(encoding.places)):
        yield between[row_of[:, at]].take(column_of[:, at], axis=1)


def _present(group: Group, one: Array, other: Array) -> Array:
    """|a − b| = a + b − 2 min, and of two values alone min(a, b) · max = a · b: a product of matrices."""
    highest = 0.5 if group.name == "kinds present" else 0.25
    found: Array = one.sum(axis=1)[:, None] + other.sum(axis=1)[None, :] - 2 / highest * (one @ other.T)
    return found


def _smooth_distances(some: Array, others: Array) -> Array:
    """Sums over columns of √(s² + x²) − s, (n, m)."""
    total = np.zeros((len(some), len(others)))
    for one, other in zip(some.T, others.T, strict=True):
        if len(one) and (one == one[0]).all() and (other == one[0]).all():
            continue  # as where a scalar acts always: nothing is apart
        beside, none = np.full(len(one), SMOOTH), np.zeros(len(other))  # √(s² + x²) is a distance in the plane
        total += cdist(np.column_stack([one, beside]), np.column_stack([other, none]))
        total -= SMOOTH
    return total


def weighted_distance(encoding: Encoding, some: Codes, others: Codes, relevances: Array) -> Array:
    """Distances over all groups, weighed, (n, m); each element is summed up by itself, in the order of the groups."""
    total = np.zeros((len(some), len(others)))
    for relevance, distances in zip(relevances, _place_distances(encoding, some, others), strict=False):
        total += relevance * distances
    weights = np.zeros(encoding.n_columns)
    for relevance, group in zip(relevances[len(encoding.places) :], encoding.groups, strict=True):
        if group.sort in ("presence", "scalar"):
            total += relevance * _apart(group, some.columns[:, group.columns], others.columns[:, group.columns])
        else:  # L1: all of these groups in one call
            weights[group.columns] = relevance
    weighed = weights > 0
    columns, weights = [codes.columns[:, weighed] for codes in (some, others)], weights[weighed]
    total += cdist(columns[0] * weights, columns[1] * weights, "cityblock")
    return total
