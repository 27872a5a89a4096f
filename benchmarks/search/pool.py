"""A pool of trainings that is all there is: a search gets the nearest one to what it proposed that it has not had yet.

Near is by growlab.search.nearness.
"""

from collections.abc import Sequence

import numpy as np

from growlab.search.configuration import Configuration
from growlab.search.nearness import Nearness
from growlab.search.parameters import ParameterSpace


class Pool(Nearness):
    """The entries in their order, and which of them a search has had."""

    def __init__(self, encoding: ParameterSpace, entries: Sequence[Configuration]) -> None:
        super().__init__(encoding, entries)
        self.encoding, self.entries = encoding, entries
        self._left = np.ones(len(entries), bool)

    def take_nearest(self, point: Configuration) -> Configuration:
        """The nearest entry left, the first of equals, which is left no longer. One must be left."""
        distances = np.where(self._left, self.distances(point), np.inf)
        at = int(distances.argmin())
        self._left[at] = False
        return self.entries[at]
