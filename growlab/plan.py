"""What a growth makes of a stack of units, from their kinds alone: which units enter where, and how deep it becomes.

The engine (growlab.growth) and the search ask the same functions, so what a study is told is what happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from growlab.errors import UsageError
from growlab.kinds import Kind, complete, units
from growlab.layout import MAX_BLOCKS, BlockSpec, Layout, parse_blocks
from growlab.recipes import OPERATORS, POSITIONS, TRIGGERS, Entry
from growlab.specs import WATCH_ALL, GrowthSpec

Blocks = tuple[BlockSpec, ...]  # a unit, by what it is made of


@dataclass(frozen=True, kw_only=True)
class Entering:
    """One new unit of a growth."""

    gap: int  # among the old units: 0 below all of them
    place: int  # among all units, once those below it have entered
    origin: int  # place, among the old units, of the one that it is modelled on
    blocks: Blocks


def entering(spec: GrowthSpec, old: Sequence[Blocks], newest: int) -> list[Entering]:
    """The units that the next growth adds to the `old` ones, from the input side to the output side.

    `newest` is the place of the old unit that entered last. Where all are watched, an operator that follows a path
    follows that of the unit which the position names, unless the study says what new units are made of. Raises
    ValueError for a position that names places which there are not.
    """
    named = None if spec.unit == "last" else parse_blocks(spec.unit)
    options = OPERATORS[spec.operator.name].options
    own_paths = spec.watch == WATCH_ALL and named is None and options.follows_origin()
    units = []
    for at, entry in enumerate(_entries(spec, len(old))):
        origin = options.modelled_on(len(old), entry.origin, entry.origin if own_paths else newest)
        units.append(Entering(gap=entry.gap, place=entry.gap + at, origin=origin, blocks=named or old[origin]))
    return units


def n_growths_of(spec: GrowthSpec, n_first: int, n_grown: int) -> int:
    """The number of growths by which a model of `n_first` units came to have `n_grown` more."""
    n_units, growths = n_first, 0
    while n_units < n_first + n_grown:
        n_units += spec.n_entering(n_units)
        growths += 1
    return growths


def stack_of(layout: Layout, kinds: Mapping[str, Kind]) -> list[Blocks]:
    """The units of a layout, from the input side to the output side."""
    return [tuple(unit) for unit in units(layout.blocks, kinds)]


def final_layout(spec: GrowthSpec, layout: Layout, kinds: Mapping[str, Kind]) -> Layout:
    """The layout of a model that began as `layout` when its last growth is over.

    The trigger is one that says how often it grows: see `n_growths`. No growth that exceeds growth.max_depth happens.
    Raises UsageError where nothing bounds the depth below MAX_BLOCKS.
    """
    stack = stack_of(layout, kinds)
    newest = len(stack) - 1
    trigger = TRIGGERS[spec.trigger.name]
    for _ in range(trigger.read(spec.trigger.options).n_growths() or 0):
        if not spec.max_depth and spec.n_entering(len(stack)) + len(stack) > MAX_BLOCKS:
            raise UsageError(
                f"growth.factor {spec.factor}, growth.units {spec.units} and the trigger make more than {MAX_BLOCKS} "
                "blocks; lower them, or write growth.max_depth"
            )
        if spec.max_depth and spec.n_entering(len(stack)) > spec.max_depth:
            break  # before a list of them is made
        new = entering(spec, tuple(stack), newest)
        if spec.max_depth and sum(map(len, stack)) + sum(len(unit.blocks) for unit in new) > spec.max_depth:
            break
        for unit in new:
            stack.insert(unit.place, unit.blocks)
            newest = unit.place
    return complete(replace(layout, blocks=tuple(block for unit in stack for block in unit)), kinds)


def _entries(spec: GrowthSpec, n_units: int) -> list[Entry]:
    part = POSITIONS[spec.position.name]
    entries: list[Entry] = part.make(n_units, spec.n_entering(n_units), part.read(spec.position.options))
    for entry in entries:
        if not (0 <= entry.gap <= n_units and 0 <= entry.origin < n_units):
            raise ValueError(f"growth position {spec.position.name!r} gives {entry}, of a model of {n_units} units")
    return sorted(entries, key=lambda entry: entry.gap)
