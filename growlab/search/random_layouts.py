"""A layout drawn at random from a study's space."""

from itertools import cycle, islice
from random import Random

from growlab.layout import BlockSpec, Layout
from growlab.search.menu import Menu
from growlab.search.repair import PLACES, place_layers, repair

# People mostly give a sequence mixer a channel mixer of its own.
_WITH_CHANNEL_MIXER = 0.85
_DRAWS = 32


def random_layout(rng: Random, menu: Menu) -> Layout:
    """A layout as people build them, with a block of layouts.at_least_one_of where the study asks for one.

    Draws that lack it are thrown away, so that motifs stay whole; after so many of them one is repaired.
    """
    for _ in range(_DRAWS):
        layout = _drawn(rng, menu)
        if menu.has_required(layout):
            return layout
    return repair(rng, layout, menu)[0]


def _drawn(rng: Random, menu: Menu) -> Layout:
    """A layout with every option written out: mostly a motif of one or two units, repeated.

    A unit is a sequence mixer, mostly with a channel mixer behind it; options are drawn once per place
    in the motif. Now and then, as layouts.motif_share says, every unit is drawn afresh.
    """
    space = menu.space
    d_model = rng.choice(space.d_model)
    low, high = space.depth
    if rng.random() < 1 - space.motif_share:
        motif = _random_units(rng, menu, d_model, high)
        depth = rng.randint(low, high)
    else:
        motif = _random_units(rng, menu, d_model, rng.choice((1, 2)))
        depth = rng.choice(_whole_depths(low, high, len(motif)))
    front, head = (rng.choice(parts) if len(parts := menu.parts(place, d_model)) > 1 else parts[0] for place in PLACES)
    layout = Layout(d_model, tuple(islice(cycle(motif), depth)), front, head)
    return place_layers(rng, layout, menu, rng.choice(menu.rule.layer))[0] if menu.rule else layout


def _random_units(rng: Random, menu: Menu, d_model: int, count: int) -> list[BlockSpec]:
    return [block for _ in range(count) for block in _random_unit(rng, menu, d_model)]


def _random_unit(rng: Random, menu: Menu, d_model: int) -> list[BlockSpec]:
    kinds = [menu.choose(rng, menu.of_role("sequence"))]
    if (channel := menu.of_role("channel")) and rng.random() < _WITH_CHANNEL_MIXER:
        kinds.append(menu.choose(rng, channel))
    return [menu.draw(rng, kind, d_model) for kind in kinds]


def _whole_depths(low: int, high: int, period: int) -> list[int]:
    """The depths at which the motif ends whole, or every depth where it never does."""
    depths = range(low, high + 1)
    return [depth for depth in depths if depth % period == 0] or list(depths)
