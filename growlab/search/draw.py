"""One layout that a sampler draws: from the layouts to start with, at random or from a parent, and one nobody tried."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from growlab.errors import UsageError
from growlab.layout import Layout
from growlab.records import PastTrial
from growlab.search.menu import Menu
from growlab.search.past import tried_layouts
from growlab.search.random_layouts import random_layout


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A layout and how it came about."""

    layout: Layout  # every option written out
    origin: str  # seed | random | mutation | model | optuna
    parent: int | None = None
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class SizeLimit:
    """layouts.max_params, and how a layout's parameters are counted."""

    max_params: int  # 0: no limit
    measure: Callable[[Layout], int]

    def excess(self, layout: Layout) -> int:
        """The layout's parameters where they are more than allowed, else 0."""
        n_params = self.measure(layout) if self.max_params else 0
        return n_params if n_params > self.max_params else 0

    def nothing_fits(self, too_large: Sequence[tuple[int, Layout]]) -> UsageError:
        """The error that none of these layouts, each with its parameters, is allowed."""
        n_params, layout = min(too_large, key=lambda pair: pair[0])
        return UsageError(
            f"layouts.max_params {self.max_params} allows none of {len(too_large)} layouts drawn; the smallest has "
            f"{n_params} parameters: {layout}. Raise it, or allow a smaller d_model or depth"
        )


def draw_random(rng: Random, menu: Menu) -> Draw:
    return Draw(layout=random_layout(rng, menu), origin="random")


def first_new(draw: Callable[[], Draw], past: Sequence[PastTrial], tries: int, limit: SizeLimit) -> Draw:
    """The first draw within the size limit that nobody has tried.

    After `tries` draws a repeat will do, since its scalars and its seed differ: preferably of a layout that
    did not fail. Raises UsageError when every draw was too large.
    """
    only_failed = tried_layouts(past)
    repeats: list[Draw] = []
    too_large: list[tuple[int, Layout]] = []
    for _ in range(tries):
        drawn = draw()
        if n_params := limit.excess(drawn.layout):
            too_large.append((n_params, drawn.layout))
        elif drawn.layout.hash not in only_failed:
            return drawn
        else:
            repeats.append(drawn)
    if not repeats:
        raise limit.nothing_fits(too_large)
    repeat = min(repeats, key=lambda draw: only_failed[draw.layout.hash])
    return replace(repeat, words="; ".join(filter(None, [repeat.words, "an earlier layout again"])))
