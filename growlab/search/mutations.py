"""The small changes that evolution makes to a layout.

A mutation is a function (rng, layout, menu) -> (changed layout, what was done, in words), or None
where it can do nothing. It takes a layout inside the space and keeps the depth within its range;
`repair` sees to the rest. Places count from 0, the input side.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from growlab.layout import Layout
from growlab.search.menu import Menu
from growlab.search.repair import PLACES, Change, repair, splice, with_part
from growlab.study import PLAIN

Mutation = Callable[[Random, Layout, Menu], Change | None]

# How often a changed option changes in every block that has it, and how often an inserted block copies one of its kind.
_EVERYWHERE = 0.5
_ALIKE = 0.5


def insert_block(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'insert conv at 2': a block of any kind, half of the time like one of its kind that is there."""
    if layout.depth >= menu.space.depth[1]:
        return None
    name = menu.choose(rng, list(menu.values))
    at = rng.randint(0 if menu.role(menu.entries[name]) == "sequence" else 1, layout.depth)
    there = [block for block in layout.blocks if menu.name(block) == name]
    block = rng.choice(there) if there and rng.random() < _ALIKE else menu.draw(rng, name, layout.d_model)
    return splice(layout, at, at, [block]), f"insert {menu.short(block)} at {at}"


def delete_block(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'delete mlp at 1'."""
    if layout.depth <= menu.space.depth[0]:
        return None
    at = rng.randrange(layout.depth)
    return splice(layout, at, at + 1, []), f"delete {menu.short(layout.blocks[at])} at {at}"


def swap_neighbours(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'swap conv at 2 with mlp at 3'."""
    blocks = layout.blocks
    places = [at for at in range(layout.depth - 1) if blocks[at] != blocks[at + 1]]
    if places and places[0] == 0 and menu.role(blocks[1]) == "channel":
        places = places[1:]  # repair would swap them back
    if not places:
        return None
    at = rng.choice(places)
    words = f"swap {menu.short(blocks[at])} at {at} with {menu.short(blocks[at + 1])} at {at + 1}"
    return splice(layout, at, at + 2, [blocks[at + 1], blocks[at]]), words


def substitute_block(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'substitute conv for attn at 3': another kind of the same role."""
    choices = [(at, name) for at, block in enumerate(layout.blocks) for name in menu.others(block)]
    if not choices:
        return None
    weights = [menu.weights[name] for _, name in choices] if menu.weights else None
    at, name = rng.choices(choices, weights)[0] if weights else rng.choice(choices)
    block = menu.draw(rng, name, layout.d_model)
    words = f"substitute {menu.short(block)} for {menu.short(layout.blocks[at])} at {at}"
    return splice(layout, at, at + 1, [block]), words


def change_option(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'attn[n_heads 4→2] at 0', or '… everywhere': in every block of the kind that has the old value."""
    choices = [(at, *change) for at, block in enumerate(layout.blocks) for change in menu.changes(block)]
    rng.shuffle(choices)
    for at, path, old, new in choices:
        name = menu.name(layout.blocks[at])
        everywhere = rng.random() < _EVERYWHERE
        changed = tuple(
            menu.with_option(block, path, new)
            if i == at or (everywhere and menu.name(block) == name and menu.options(block)[path] == old)
            else block
            for i, block in enumerate(layout.blocks)
        )
        if all(menu.fits(block, layout.d_model) for block in changed):
            place = "everywhere" if everywhere else f"at {at}"
            return replace(layout, blocks=changed), f"{name}[{path} {old}→{new}] {place}"
    return None


def change_width(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'d_model 64→96', and '; attn[n_heads=4] becomes attn[n_heads=3]' where a block no longer fits."""
    widths = [d_model for d_model in menu.space.d_model if d_model != layout.d_model]
    if not widths:
        return None
    d_model = rng.choice(widths)
    # equal blocks stay equal, so that a motif stays one
    adapted = {block: menu.adapt(rng, block, d_model) for block in dict.fromkeys(layout.blocks)}
    said = [f"{menu.short(old)} becomes {menu.short(new)}" for old, new in adapted.items() if new != old]
    blocks = tuple(adapted[block] for block in layout.blocks)
    return replace(layout, d_model=d_model, blocks=blocks), "; ".join([f"d_model {layout.d_model}→{d_model}", *said])


def change_part(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'head becomes hebbian_head[…]', or the front end, where the study has another."""
    choices = [
        (place, part)
        for place in PLACES
        for part in menu.parts(place, layout.d_model)
        if part != getattr(layout, place)
    ]
    if not choices:
        return None
    place, part = rng.choice(choices)
    return with_part(layout, place, part), f"{place} becomes {part or PLAIN}"


def duplicate_unit(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'duplicate attn mlp at 0': the copy stands behind its original."""
    spans = [span for span in _unit_spans(layout, menu) if layout.depth + len(span) <= menu.space.depth[1]]
    if not spans:
        return None
    span = rng.choice(spans)
    unit = layout.blocks[span.start : span.stop]
    return splice(layout, span.stop, span.stop, unit), f"duplicate {menu.short(*unit)} at {span.start}"


def remove_unit(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """'remove conv mlp at 2'."""
    spans = [span for span in _unit_spans(layout, menu) if layout.depth - len(span) >= menu.space.depth[0]]
    if not spans:
        return None
    span = rng.choice(spans)
    words = f"remove {menu.short(*layout.blocks[span.start : span.stop])} at {span.start}"
    return splice(layout, span.start, span.stop, []), words


MUTATIONS: tuple[Mutation, ...] = (
    insert_block,
    delete_block,
    swap_neighbours,
    substitute_block,
    change_option,
    change_width,
    change_part,
    duplicate_unit,
    remove_unit,
)


def mutate(rng: Random, layout: Layout, menu: Menu) -> Change | None:
    """One mutation, repaired; None where the space leaves nothing to change."""
    known = [each for each in MUTATIONS if each is not change_part or menu.has_parts]
    for mutation in rng.sample(known, len(known)):
        if change := mutation(rng, layout, menu):
            repaired, words = repair(rng, change[0], menu)
            return repaired, "; ".join([change[1], *words])
    return None


def _unit_spans(layout: Layout, menu: Menu) -> list[range]:
    """The places of every unit (growlab.kinds.units)."""
    starts = [at for at, block in enumerate(layout.blocks) if at == 0 or menu.role(block) == "sequence"]
    return [range(start, stop) for start, stop in pairwise([*starts, layout.depth])]
