"""Names of parameters that stay what they are when a unit enters below them.

A module's own names count its units from the input side. Optimizer, checkpoints and windows go by the unit's identity
instead: the units that a model begins with are 0, 1, …, and each that grows has the next number, wherever it enters;
so has one that old units become, whose parameters go by its name from then on.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

from torch import nn

_UNITS = "units"


def identities(n_first: int, positions: Sequence[int], enclosed: Iterable[int] = ()) -> list[int]:
    """The identity of each unit, in order, of a model that began with `n_first` and grew at these positions.

    `enclosed` says how many old units, from each position on, became the one that entered there; () that none did.
    """
    units = list(range(n_first))
    for number, (at, n_units) in enumerate(zip(positions, enclosed or repeat(0), strict=False)):
        units[at : at + n_units] = [n_first + number]
    return units


def named_by_identity(model: nn.Module, units: Sequence[int]) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the model's parameters in its own order, by names that stay; `units` are the identities of its units."""
    for name, parameter in model.named_parameters():
        room, _, rest = name.partition(".")
        if room != _UNITS:
            yield name, parameter
            continue
        index, _, within = rest.partition(".")
        yield f"{unit_prefix(units[int(index)])}{within}", parameter


def unit_prefix(identity: int) -> str:
    """The beginning of the names of a unit's parameters."""
    return f"{_UNITS}.{identity}."


def is_of_a_unit(name: str) -> bool:
    """Whether a parameter of this name is a unit's, not one of the embedding, the front, the last norm or the head."""
    return name.startswith(f"{_UNITS}.")
