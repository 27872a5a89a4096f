"""One layout that a sampler draws: from the layouts to start with, at random or from a parent, and one nobody tried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from growlab.layout import Layout
from growlab.records import PastTrial
from growlab.search.limits import Excess, Limits, nothing_fits
from growlab.search.menu import Menu
from growlab.search.past import failed_layouts, tried_layouts
from growlab.search.random_layouts import random_layout


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A layout and how it came about."""

    layout: Layout  # every option written out
    origin: str  # seed | random | mutation | model | optuna
    parent: int | None = None
    words: str = ""


def draw_random(rng: Random, menu: Menu) -> Draw:
    return Draw(layout=random_layout(rng, menu), origin="random")


def first_new(draw: Callable[[], Draw], past: Sequence[PastTrial], tries: int, limits: Limits) -> Draw:
    """The first draw within the limits that nobody has tried.

    After `tries` draws a repeat will do, since its scalars and its seed differ: preferably of a layout that
    did not fail. Raises UsageError when every draw was too large.
    """
    tried = tried_layouts(past)
    repeats: list[Draw] = []
    too_large: list[Excess] = []
    for _ in range(tries):
        drawn = draw()
        if excess := limits.excess(drawn.layout):
            too_large.append(excess)
        elif drawn.layout.hash not in tried:
            return drawn
        else:
            repeats.append(drawn)
    if not repeats:
        raise nothing_fits(too_large)
    failed = failed_layouts(past)
    repeat = min(repeats, key=lambda draw: draw.layout.hash in failed)
    return replace(repeat, words="; ".join(filter(None, [repeat.words, "an earlier layout again"])))
