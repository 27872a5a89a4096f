"""Aging evolution on layouts: the best of a few young trials has a child that nobody has tried.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from growlab.errors import UsageError
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.records import PastTrial
from growlab.search.menu import Menu
from growlab.search.mutations import mutate
from growlab.search.past import loss_of, tried_layouts
from growlab.search.repair import repair
from growlab.search.space import random_layout
from growlab.study import SamplerSpec

# Draws that ignore what was learnt, so that no kind dies out for good.
_RANDOM_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A layout and how it came about."""

    layout: Layout  # every option written out
    origin: str  # seed | random | mutation
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


def pick_parent(rng: Random, past: Sequence[PastTrial], sampler: SamplerSpec) -> PastTrial | None:
    """The winner of a tournament among the youngest finished trials.

    None when nothing has finished, or when all in the tournament diverged or failed.
    """
    finished = sorted((trial for trial in past if trial.state.is_final), key=lambda trial: trial.number)
    young = finished[-sampler.population :]
    contenders = rng.sample(young, min(sampler.tournament, len(young)))
    winner = min(contenders, key=lambda trial: (loss_of(trial), trial.number), default=None)
    return winner if winner and math.isfinite(loss_of(winner)) else None


def child_of(rng: Random, parent: Layout, menu: Menu) -> tuple[Layout, str]:
    """The parent with one or two mutations, first brought into the study's space where it came from outside."""
    layout, words = repair(rng, parent, menu)
    for _ in range(rng.choice((1, 2))):
        if change := mutate(rng, layout, menu):
            layout, said = change
            words.append(said)
    return layout, "; ".join(words)


def draw_random(rng: Random, menu: Menu) -> Draw:
    return Draw(layout=random_layout(rng, menu.space, menu.kinds), origin="random")


def evolve(rng: Random, menu: Menu, past: Sequence[PastTrial], sampler: SamplerSpec) -> Draw:
    """A child of a good young trial; in a small share of the draws, and without a parent, a random layout."""
    parent = None if rng.random() < _RANDOM_SHARE else pick_parent(rng, past, sampler)
    if parent is None:
        return draw_random(rng, menu)
    layout, words = child_of(rng, complete(parse(parent.layout), menu.kinds), menu)
    return Draw(layout=layout, origin="mutation", parent=parent.number, words=words)


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
        raise _nothing_fits(too_large, limit)
    repeat = min(repeats, key=lambda each: only_failed[each.layout.hash])
    return replace(repeat, words="; ".join(filter(None, [repeat.words, "an earlier layout again"])))


def _nothing_fits(too_large: Sequence[tuple[int, Layout]], limit: SizeLimit) -> UsageError:
    n_params, layout = min(too_large, key=lambda each: each[0])
    return UsageError(
        f"layouts.max_params {limit.max_params} allows none of {len(too_large)} layouts drawn; the smallest has "
        f"{n_params} parameters: {layout}. Raise it, or allow a smaller d_model or depth"
    )
