"""Where new units enter: one file for each position. To import this package fills POSITIONS, and loads no torch."""

from growlab.growth.positions import (  # noqa: F401  (they register themselves)
    after,
    append,
    interleaved,
    middle,
    prepend,
)
