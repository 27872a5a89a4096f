"""With what weights a unit enters, or what old ones become: one file for each operator, or for two with one formula.

To import this package fills OPERATORS.
"""

from growlab.growth.operators import (  # noqa: F401  (they register themselves)
    aiether,
    altered,
    average,
    copy_last,
    copy_middle,
    forecast,
    identity,
    loop,
    random,
    random_direction,
    reordered,
    split,
    stack,
)
