"""With what weights a unit enters: one file for each operator, or for two that share a formula.

To import this package fills OPERATORS.
"""

from growlab.growth.operators import (  # noqa: F401  (they register themselves)
    aiether,
    average,
    copy_last,
    copy_middle,
    forecast,
    identity,
    random,
    random_direction,
    reordered,
    split,
    stack,
)
