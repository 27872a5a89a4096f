"""Trials by several objectives at once: which none is better than in all of them, and how much of the space they cover.

A point dominates another one that it is as good as everywhere and better than somewhere; lower is better. The front is
what nothing dominates. Its hypervolume is the volume of what it dominates within a reference point:

    hypervolume = volume of ∪_p [p, reference]

A point's contribution is what the hypervolume would lose without it. Both scale with the units of the objectives, so
that comparisons of fronts within one reference point are free of them.

Sources: Deb et al. 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (ranks); While, Bradstreet &
Barone 2012, "A Fast Way of Calculating Exact Hypervolumes" (limit sets).

Legend: n points, d objectives.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BEYOND = 0.1  # of an objective's range: how far beyond its worst value the reference point lies


def on_front(points: Array) -> NDArray[np.bool_]:
    """Whether nothing dominates each of the points (n, d), (n); equal points are all on the front or none is."""
    front = np.zeros(len(points), dtype=bool)
    left = np.lexsort(points.T[::-1])  # the first of what is left is dominated by nothing that is left
    while len(left):
        best, others = points[left[0]], points[left]
        front[left[0]] = True
        dominated = (best <= others).all(axis=1) & (best < others).any(axis=1)
        dominated[0] = True  # it has been looked at
        left = left[~dominated]
    return front


def distinct_front(points: Array) -> Array:
    """The points (n, d) that nothing dominates, of equal ones one, in rising order."""
    return np.unique(points[on_front(points)], axis=0)


def ranks(points: Array) -> NDArray[np.intp]:
    """The rank of each of the points (n, d), (n): 0 on the front, 1 on that of all others, and so on."""
    found = np.zeros(len(points), dtype=np.intp)
    left, rank = np.arange(len(points)), 0
    while len(left):
        front = on_front(points[left])
        found[left[front]] = rank
        left, rank = left[~front], rank + 1
    return found


def hypervolume(points: Array, reference: Array) -> float:
    """The volume that points (n, d) dominate within a reference point (d), in the product of their units; exact."""
    inside = points[(points < reference).all(axis=1)]
    return _volume(inside[on_front(inside)], reference)


def contributions(points: Array, reference: Array) -> Array:
    """What the hypervolume would lose without each of the points (n, d), (n): 0 of what is dominated, or not alone."""
    found = np.zeros(len(points))
    for at in np.flatnonzero(on_front(points) & (points < reference).all(axis=1)):
        others = np.maximum(np.delete(points, at, axis=0), points[at])  # what they dominate of its own box
        found[at] = max(float(np.prod(reference - points[at])) - hypervolume(others, reference), 0.0)
    return found


def reference_point(points: Array, given: Sequence[float | None]) -> Array:
    """The reference point of finished trials (n, d): the given values, else a tenth of the range beyond the worst.

    Where all values of an objective are equal a tenth of their size, or 1, stands for the range.
    """
    worst, best = points.max(axis=0), points.min(axis=0)
    spread = np.where(worst > best, worst - best, np.where(worst != 0, np.abs(worst), 1 / BEYOND))
    rule = worst + BEYOND * spread
    return np.array([rule[at] if value is None else value for at, value in enumerate(given)])


def _volume(front: Array, reference: Array) -> float:
    """The hypervolume of points of which none dominates another, all within the reference point."""
    if not len(front):
        return 0.0
    if front.shape[1] == 1:
        return float(reference[0] - front[:, 0].min())
    if front.shape[1] == 2:
        return _area(front, reference)
    # From the worst in the last objective on, each adds a slab: what it dominates in the others and the better ones
    # do not. Those reach as far down as it does, so that the slab is a volume in one dimension less.
    front = front[np.argsort(-front[:, -1], kind="stable")]
    volume = 0.0
    for at, point in enumerate(front):
        limited = np.maximum(front[at + 1 :, :-1], point[:-1])
        own = float(np.prod(reference[:-1] - point[:-1])) - _volume(distinct_front(limited), reference[:-1])
        volume += own * float(reference[-1] - point[-1])
    return volume


def _area(front: Array, reference: Array) -> float:
    """The hypervolume of two objectives: the front is a staircase, summed up step by step."""
    front = front[np.lexsort(front.T[::-1])]
    above = np.concatenate([reference[1:], front[:-1, 1]])
    return float(((reference[0] - front[:, 0]) * (above - front[:, 1])).sum())
