"""The hypervolume that a candidate is expected to add to a Pareto front.

With independent objectives F, each normal or known exactly, lower being better, and a reference point r,

    E[gain] = ∫ Π_i P(F_i ≤ f_i) df    over all f ≤ r that no point of the front dominates

which is summed up box by box: along an axis between two neighbouring points of the front the integral of P(F_i ≤ f_i)
is a difference of G_i, and what is dominated there is told by the points below, in one dimension less.

    G_i(t) = σ (z Φ(z) + φ(z)), z = (t − μ) / σ     of a normal objective; expected improvement on t
    G_i(t) = max(t − c, 0)                          of one that is c

Source: Emmerich, Deutz & Klinkenberg 2011 (expected hypervolume improvement); here by Fubini, over any number of
objectives of either sort.

Legend: m candidates, n points of the front, d objectives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from growlab.search.model.choice import expected_improvement
from growlab.search.model.encoding import Array
from growlab.statistics.pareto import distinct_front


@dataclass(frozen=True)
class Normal:
    """An objective of m candidates that is known up to a standard deviation."""

    mean: Array
    sd: Array

    def below(self, level: float) -> Array:
        """How far below a level each is expected to be, where what is above counts as nothing."""
        return expected_improvement(level, self.mean, self.sd)


@dataclass(frozen=True)
class Exact:
    """An objective of m candidates that is known."""

    value: Array

    def below(self, level: float) -> Array:
        found: Array = np.maximum(level - self.value, 0.0)
        return found


Axis = Normal | Exact


def expected_gain(axes: Sequence[Axis], front: Array, reference: Array) -> Array:
    """The volume that each of m candidates is expected to add to a front (n, d) within a reference point (d), (m)."""
    inside = front[(front < reference).all(axis=1)]
    return _undominated(axes, distinct_front(inside), reference)


def _undominated(axes: Sequence[Axis], front: Array, reference: Array) -> Array:
    """The expected volume below the reference point that no point of the front dominates."""
    *others, last = axes
    if not len(front):
        found = last.below(float(reference[-1]))
        return found * _undominated(others, front[:, :-1], reference[:-1]) if others else found
    if not others:
        return last.below(float(front[:, 0].min()))
    front = front[np.argsort(front[:, -1], kind="stable")]
    levels = [*front[:, -1].tolist(), float(reference[-1])]
    below = total = np.zeros(1)
    for n_below, level in enumerate(levels):
        up_to = last.below(level)
        if n_below == 0 or level > levels[n_below - 1]:
            slab = _undominated(others, distinct_front(front[:n_below, :-1]), reference[:-1])
            total = total + (up_to - below) * slab
        below = up_to
    return total
