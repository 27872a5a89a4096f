"""What a growth makes of a stack of units, from their kinds alone: which units enter where, and how deep it becomes.

The engine (growlab.growth) and the search ask the same functions, so what a study is told is what happens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from growlab.errors import UsageError
from growlab.kinds import Kind, complete, units
from growlab.layout import MAX_BLOCKS, BlockSpec, Layout, n_held, parse_blocks
from growlab.recipes import OPERATORS, POSITIONS, TRIGGERS, Enclosure, Entry
from growlab.specs import WATCH_ALL, GrowthSpec

Blocks = tuple[BlockSpec, ...]  # a unit, by what it is made of


@dataclass(frozen=True, kw_only=True)
class Entering:
    """One new unit of a growth."""

    gap: int  # among the old units: 0 below all of them
    place: int  # among all units, once those below it have entered
    origin: int  # place, among the old units, of the one that it is modelled on
    blocks: Blocks
    encloses: int = 0  # old units, from that place on, that it holds from now on; 0: it is new


def next_growth(spec: GrowthSpec, old: Sequence[Blocks], newest: int) -> list[Entering]:
    """The units of the next growth, as `entering` has them; [] where there is no room for all of them.

    What encloses old units makes no model larger, so growth.max_depth does not bound it.
    """
    if OPERATORS[spec.operator.name].options.encloses:
        return entering(spec, old, newest)
    if spec.n_entering(len(old)) > spec.max_depth:
        return []  # before a list of them is made
    new = entering(spec, old, newest)
    return new if sum(map(n_held, old)) + sum(n_held(unit.blocks) for unit in new) <= spec.max_depth else []


def entering(spec: GrowthSpec, old: Sequence[Blocks], newest: int) -> list[Entering]:
    """The units that the next growth adds to the `old` ones, from the input side to the output side.

    `newest` is the place of the old unit that entered last. Where all are watched, an operator that follows a path
    follows that of the unit which the position names, unless the study says what new units are made of. Raises
    ValueError for a position that names places which there are not.
    """
    operator = OPERATORS[spec.operator.name]
    if operator.options.encloses:
        found = operator.read(spec.operator.options).enclosing(old)
        return [] if found is None else [_enclosing(found)]
    named = None if spec.unit == "last" else parse_blocks(spec.unit)
    options = operator.options
    own_paths = spec.watch == WATCH_ALL and named is None and options.follows_origin()
    units = []
    for at, entry in enumerate(_entries(spec, len(old))):
        origin = options.modelled_on(len(old), entry.origin, entry.origin if own_paths else newest)
        units.append(Entering(gap=entry.gap, place=entry.gap + at, origin=origin, blocks=named or old[origin]))
    return units


def _enclosing(found: Enclosure) -> Entering:
    at = found.first
    return Entering(gap=at, place=at, origin=at, blocks=found.blocks, encloses=found.n_units)


def n_growths_of(spec: GrowthSpec, n_first: int, enclosed: Sequence[int]) -> int:
    """The number of growths by which units entered a model of `n_first`, or old ones became one, as `enclosed` tells.

    It says of each of them how many old units became it: 0 of one that entered, with all others of its growth.
    """
    n_units, at, growths = n_first, 0, 0
    while at < len(enclosed):
        n_entered = 1 if enclosed[at] else spec.n_entering(n_units)
        n_units += n_entered - enclosed[at]
        at += n_entered
        growths += 1
    return growths


def stack_of(layout: Layout, kinds: Mapping[str, Kind]) -> list[Blocks]:
    """The units of a layout, from the input side to the output side."""
    return [tuple(unit) for unit in units(layout.blocks, kinds)]


def final_layout(spec: GrowthSpec, layout: Layout, kinds: Mapping[str, Kind]) -> Layout:
    """The layout of a model that began as `layout` when its last growth is over.

    The trigger is one that says how often it grows: see `n_growths`. Where growths are tried first, it is the deepest
    that a model can become. No growth that exceeds growth.max_depth happens.
    Raises UsageError where nothing bounds the depth below MAX_BLOCKS.
    """
    stack = stack_of(layout, kinds)
    newest = len(stack) - 1
    trigger = TRIGGERS[spec.trigger.name]
    encloses = OPERATORS[spec.operator.name].options.encloses
    for _ in range(trigger.read(spec.trigger.options).n_growths() or 0):
        if not (spec.max_depth or encloses) and spec.n_entering(len(stack)) + len(stack) > MAX_BLOCKS:
            raise UsageError(
                f"growth.factor {spec.factor}, growth.units {spec.units} and the trigger make more than {MAX_BLOCKS} "
                "blocks; lower them, or write growth.max_depth"
            )
        new = (next_growth if spec.max_depth else entering)(spec, tuple(stack), newest)
        if not new:
            break
        for unit in new:
            stack[unit.place : unit.place + unit.encloses] = [unit.blocks]
            newest = unit.place
    return complete(replace(layout, blocks=tuple(block for unit in stack for block in unit)), kinds)


def _entries(spec: GrowthSpec, n_units: int) -> list[Entry]:
    part = POSITIONS[spec.position.name]
    entries: list[Entry] = part.make(n_units, spec.n_entering(n_units), part.read(spec.position.options))
    for entry in entries:
        if not (0 <= entry.gap <= n_units and 0 <= entry.origin < n_units):
            raise ValueError(f"growth position {spec.position.name!r} gives {entry}, of a model of {n_units} units")
    return sorted(entries, key=lambda entry: entry.gap)
