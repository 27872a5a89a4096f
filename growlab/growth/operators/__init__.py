"""With what weights a unit enters: one file for each operator, or for two that share a formula.

To import this package fills OPERATORS.
"""

from growlab.growth.operators import aiether, copy_last, identity, stack  # noqa: F401  (they register themselves)
