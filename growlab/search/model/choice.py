"""Which candidate to try: the one from which most is to be gained.

Source: Mockus 1978 (expected improvement); with noise, the value to beat is the best that is expected, not the best
that was seen (Gramacy & Lee 2011); times the probability that it runs at all (Gelbart et al. 2014). Near what is known
little is to be gained, where everything fails much would be: so what will probably fail comes after all the rest.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from scipy.special import ndtr

from growlab.search.model.candidates import Candidate
from growlab.search.model.encoding import Array
from growlab.seeds import derived_seed

WIDER = 1.5  # than what the model says: one set of hyperparameters is surer than all that the past allows are
SAFE = 0.6  # the probability of running from which on a candidate is not one that will probably fail
_DIGITS = 6  # of a score, as a share of the range of all scores: what is beyond is noise of the arithmetic


def scores(gains: Array, runs: Array) -> Array:
    """Expected gains of those that run, times the probability of running, as a share of the highest.

    Below 0 what will probably fail: the less, the surer that is.
    """
    found = gains * runs
    return np.where(runs < SAFE, runs - 1, found / max(float(found.max()), 1e-300))


def expected_improvement(best: float, mean: Array | float, sd: Array | float) -> Array:
    """How far below `best` a normal value is expected to be, where what is above counts as nothing."""
    ahead = (best - mean) / sd
    density = np.exp(-(ahead**2) / 2) / math.sqrt(2 * math.pi)
    found: Array = sd * (ahead * ndtr(ahead) + density)
    return found


def ranked(found: Array, candidates: Sequence[Candidate]) -> Iterator[int]:
    """The candidates' places, the best first; of equal ones that with the smaller hash."""
    span = float(found.max() - found.min()) or 1.0
    rounded = np.round((found - found.min()) / span, _DIGITS).tolist()
    for _, equal in groupby(sorted(range(len(candidates)), key=lambda at: -rounded[at]), key=lambda at: rounded[at]):
        places = list(equal)
        yield from sorted(places, key=lambda at: _hash(candidates[at])) if len(places) > 1 else places


def _hash(candidate: Candidate) -> int:
    return derived_seed(candidate.configuration.layout, sorted(candidate.configuration.params.items()))
