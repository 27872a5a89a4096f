"""What growth needs to know of a model: an ordered list of units, and how to make and insert one."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import nn

from growlab.layout import BlockSpec


class Growable(Protocol):
    """A model whose units are modules with the same names and shapes of parameters whenever their blocks are equal."""

    units: nn.ModuleList  # from the input side to the output side

    def blocks_of(self, unit: nn.Module) -> tuple[BlockSpec, ...]:
        """The blocks that a unit is made of. A unit can be extrapolated from another exactly when these are equal."""
        ...

    def make_unit(self, blocks: Sequence[BlockSpec]) -> nn.Module:
        """Make a freshly initialised unit, not yet part of the model."""
        ...

    def enclose(self, units: Sequence[nn.Module], blocks: Sequence[BlockSpec]) -> nn.Module:
        """Make a unit of these blocks that holds those of old units, the very same modules; not yet part of the model.

        Only operators that enclose ask for it.
        """
        ...

    def out_projections(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        """The parameters that make the unit the identity when they are zero."""
        ...

    def norm_gains(self, unit: nn.Module) -> Iterable[nn.Parameter]:
        """The gains of the norms through which the unit's blocks read what is below. Only some operators ask for it."""
        ...

    def insert_unit(self, position: int, unit: nn.Module) -> None: ...

    def parameters(self) -> Iterable[nn.Parameter]: ...
