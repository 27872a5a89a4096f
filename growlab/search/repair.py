"""Keeping a layout inside the study's space.

Needed after a mutation that moved the first sequence mixer, and for parents from outside the
space: the layouts that a study starts with.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal

from growlab.layout import BlockSpec, Layout
from growlab.search.menu import Menu
from growlab.study import PLAIN

Place = Literal["front", "head"]
PLACES: tuple[Place, ...] = ("front", "head")
Change = tuple[Layout, str]  # a changed layout, and what was done to it in words


def repair(rng: Random, layout: Layout, menu: Menu) -> tuple[Layout, list[str]]:
    """A layout inside the study's space that is close to this one, and what had to be done, in words.

    A layout inside the space is returned as it is.
    """
    words: list[str] = []
    if menu.contains(layout):
        return layout, words
    for step in (
        _repair_width,
        _repair_parts,
        _repair_blocks,
        _repair_depth,
        _repair_first,
        _repair_layers,
        _repair_required,
    ):
        if change := step(rng, layout, menu):
            layout, said = change
            words.append(said)
    assert menu.contains(layout), f"repair left {layout} outside the space"
    return layout, words


def _repair_width(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    if layout.d_model in menu.space.d_model:
        return None
    nearest = min(menu.space.d_model, key=lambda d_model: (abs(d_model - layout.d_model), d_model))
    return replace(layout, d_model=nearest), f"d_model {layout.d_model}→{nearest}"


def _repair_parts(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """A front end or a head that the study does not draw: one that it does."""
    said = []
    for place in PLACES:
        known = menu.parts(place, layout.d_model)
        if getattr(layout, place) not in known:
            layout = with_part(layout, place, rng.choice(known))
            said.append(f"{place} becomes {getattr(layout, place) or PLAIN}")
    return (layout, "; ".join(said)) if said else None


def with_part(layout: Layout, place: Place, part: BlockSpec | None) -> Layout:
    return replace(layout, front=part) if place == "front" else replace(layout, head=part)


def _repair_layers(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """Sequence mixers on the wrong side of layouts.from_layer, for the k that leaves the fewest."""
    misplaced = menu.misplaced(layout)
    fewest = min(map(len, misplaced.values()), default=0)
    if not fewest:
        return None
    return place_layers(rng, layout, menu, rng.choice([k for k, places in misplaced.items() if len(places) == fewest]))


def place_layers(rng: Random, layout: Layout, menu: Menu, k: int) -> Change:
    """Others in their stead, the same for all that are equal and on one side."""
    mixers = [at for at, block in enumerate(layout.blocks) if menu.role(block) == "sequence"]
    blocks, instead = list(layout.blocks), dict[tuple[BlockSpec, tuple[str, ...]], BlockSpec]()
    for at in menu.misplaced(layout)[k]:
        key = layout.blocks[at], menu.allowed(mixers.index(at), k)
        if key not in instead:
            instead[key] = menu.draw(rng, menu.choose(rng, key[1]), layout.d_model)
        blocks[at] = instead[key]
    said = [f"{menu.short(old)} becomes {menu.short(new)}" for (old, _), new in instead.items()]
    return replace(layout, blocks=tuple(blocks)), "; ".join([f"from layer {k}", *said])


def _repair_required(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """A layout without a block of layouts.at_least_one_of: one in the place of another of its role."""
    if menu.has_required(layout):
        return None
    ways = [
        (at, name)
        for at, block in enumerate(layout.blocks)
        for name in menu.required
        if menu.role(menu.entries[name]) == menu.role(block)
    ]
    for at, name in rng.sample(ways, len(ways)):
        block = menu.draw(rng, name, layout.d_model)
        changed = splice(layout, at, at + 1, [block])
        if menu.contains(changed):
            return changed, f"{menu.short(layout.blocks[at])} at {at} becomes {menu.short(block)}"
    return None


def _repair_blocks(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """Blocks that the study does not draw: the closest that it does, or none where it has none of the role."""
    instead: dict[BlockSpec, BlockSpec | None] = {}
    for block in dict.fromkeys(layout.blocks):
        if not menu.holds(block, layout.d_model):
            instead[block] = _closest(rng, block, layout.d_model, menu)
    if not instead:
        return None
    blocks = (instead.get(block, block) for block in layout.blocks)
    said = [f"{menu.short(old)} becomes {menu.short(new) if new else 'nothing'}" for old, new in instead.items()]
    return replace(layout, blocks=tuple(block for block in blocks if block)), "; ".join(said)


def _closest(rng: Random, block: BlockSpec, d_model: int, menu: Menu) -> BlockSpec | None:
    if menu.name(block) in menu.values:
        return menu.adapt(rng, block, d_model)
    same_role = menu.of_role(menu.role(block))
    return menu.draw(rng, menu.choose(rng, same_role), d_model) if same_role else None


def _repair_depth(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    low, high = menu.space.depth
    if low <= layout.depth <= high:
        return None
    if layout.depth > high:
        return replace(layout, blocks=layout.blocks[:high]), f"cut to {high} blocks"
    unit = layout.blocks or (menu.draw(rng, menu.choose(rng, menu.of_role("sequence")), layout.d_model),)
    return replace(layout, blocks=(unit * low)[:low]), f"repeated to {low} blocks"


def _repair_first(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """The first block must be a sequence mixer: the first one there comes to the front, or one is drawn."""
    roles = [menu.role(block) for block in layout.blocks]
    if roles[0] == "sequence":
        return None
    if "sequence" in roles:
        at = roles.index("sequence")
        blocks = (layout.blocks[at], *layout.blocks[:at], *layout.blocks[at + 1 :])
        return replace(layout, blocks=blocks), f"move {menu.short(blocks[0])} from {at} to 0"
    block = menu.draw(rng, menu.choose(rng, menu.of_role("sequence")), layout.d_model)
    words = f"substitute {menu.short(block)} for {menu.short(layout.blocks[0])} at 0"
    return splice(layout, 0, 1, [block]), words


def splice(layout: Layout, start: int, stop: int, blocks: Sequence[BlockSpec]) -> Layout:
    """The layout with blocks[start:stop] replaced."""
    changed = (*layout.blocks[:start], *blocks, *layout.blocks[stop:])
    return Layout(layout.d_model, changed, layout.front, layout.head)
