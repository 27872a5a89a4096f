"""Where a new unit enters: one file for each position. To import this package fills POSITIONS, and loads no torch."""

from growlab.growth.positions import append, prepend  # noqa: F401  (they register themselves)
