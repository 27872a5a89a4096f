"""What an operator sees, and what it gives: weights of the new unit, and of old ones that are to change with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from growlab.growth.path import TensorPath
from growlab.growth.window import Window

Weights = Mapping[str, Float[Tensor, "..."]]  # name of a parameter, within its unit, → its new value, of the same shape


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model at the moment of a growth."""

    units: Sequence[nn.Module]  # the old ones, from the input side to the output side
    unit: nn.Module  # the new one, freshly initialised and not yet among them
    position: int  # units[position] will come right after it, or after others that enter with it
    origin: int  # place of the old unit that the new one is modelled on
    n_alike: int  # units that enter with it and are modelled on the same one, itself among them
    watched: int  # index of the newest of the old units
    windows: Mapping[int, Window]  # index of an old unit → its path, where it is kept
    same_kinds: Callable[[nn.Module, nn.Module], bool]  # whether two units' parameters have equal names and shapes
    out_projections: Callable[[nn.Module], Iterable[nn.Parameter]]  # of a unit: the identity when they are zero
    norm_gains: Callable[[nn.Module], Iterable[nn.Parameter]]  # of a unit: what its blocks read is multiplied by them
    critical: Mapping[str, float]  # values of path statistics at which the trigger fires, such as 'tau'
    entry_scale: float  # what the new unit's out-projections are multiplied by, once the operator has made them
    seed: int  # of whatever an operator draws, from a generator of its own: another for each unit that grows

    @property
    def twin_path(self) -> Window | None:
        """The path of the unit that the new one is modelled on, of the newest one where that is not kept.

        None where there is none yet, or where the new unit is made of other blocks.
        """
        place = self.origin if self.origin in self.windows else self.watched
        window = self.windows.get(place)
        if window is None or len(window) == 0 or not self.same_kinds(self.units[place], self.unit):
            return None
        return window


@dataclass(frozen=True, kw_only=True)
class Made:
    """Weights that an operator made; a parameter that is not named stays as it is."""

    new: Weights
    old: Mapping[int, Weights] = field(default_factory=dict)  # index of an old unit → what changes in it


def copy_of_origin(source: Source) -> Made | None:
    """Copy the unit that the new one is modelled on, as it is now; None where that is of other kinds."""
    origin = source.units[source.origin]
    if not source.same_kinds(origin, source.unit):
        return None
    return copy_of(origin)


def copy_of(unit: nn.Module) -> Made:
    return Made(new={name: parameter.clone() for name, parameter in unit.named_parameters()})


Extrapolate = Callable[[TensorPath, Any, Source], Float[Tensor, "*shape"]]  # *shape: that of the path
Operator = Callable[[Source, Any], Made | None]


def tensor_by_tensor(extrapolate: Extrapolate) -> Operator:
    """Make an operator of a function (path, options, source) → tensor: each tensor from its namesake's path.

    The path is that of the unit that the new one is modelled on. What a block marked `copied_at_growth` (time
    constants, skips) is copied, whatever the function. None where that unit is of other kinds, or was never looked at.
    """

    @wraps(extrapolate)
    def operator(source: Source, options: Any) -> Made | None:
        window = source.twin_path
        if window is None:
            return None
        new = {}
        for name, parameter in source.unit.named_parameters():
            path = window.path(name)
            copied = getattr(parameter, "copied_at_growth", False)
            new[name] = path.last if copied else extrapolate(path, options, source)
        return Made(new=new)

    return operator
