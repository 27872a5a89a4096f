"""How large a study's space is, and what its limits leave of it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

from growlab.domains import Choice, Domain, Fixed, Range, Value, value_type
from growlab.kinds import Kind
from growlab.layout import Layout
from growlab.metrics import Costs
from growlab.search.draw import draw_random
from growlab.search.limits import CAPS, Excess, Limits
from growlab.search.menu import Menu
from growlab.search.model.candidates import draw_scalars
from growlab.search.repair import PLACES
from growlab.search.space import starts_beyond
from growlab.seeds import derived_seed
from growlab.study import Study

N_DRAWS = 1000
_Z = 1.959964  # of a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Size:
    """A cost of the layouts that are within the limits, over random draws."""

    name: str
    unit: str
    smallest: int
    median: int
    largest: int


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The extent of a study's space."""

    study: str
    n_layouts: Mapping[int, int]  # by depth, over all widths, with all their options
    scalars: Mapping[str, str]  # that are searched, by full name, with what is drawn of each
    n_draws: int
    n_within: int  # of the draws, those that exceed no limit
    exceeded: Mapping[str, int]  # of the others, by the first limit that they exceed
    sizes: Sequence[Size]
    starts_beyond: Mapping[int, Excess]  # by place in layouts.start_with, the limit that keeps the study from running

    @property
    def share(self) -> tuple[float, float, float]:
        """What the limits leave of random draws, with the ends of its 95 % interval (Wilson 1927)."""
        n, p = self.n_draws, self.n_within / self.n_draws
        centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
        return p, max(centre - half, 0.0), min(centre + half, 1.0)


def extent_of(study: Study, kinds: Mapping[str, Kind], costs: Costs, n_draws: int = N_DRAWS) -> Extent:
    """Count the layouts of a sound study, and draw so many trials at random: the same ones each time."""
    menu, rng = Menu(study.layouts, kinds), Random(derived_seed(study.seed, "extent"))
    limits, domains = Limits(study=study, kinds=kinds, measure=costs), study.scalars()
    exceeded: Counter[str] = Counter()
    within: list[tuple[Layout, Mapping[str, Value]]] = []
    for _ in range(n_draws):
        layout, params = draw_random(rng, menu).layout, draw_scalars(rng, domains)
        if excess := limits.at(params).excess(layout):
            exceeded[excess.key] += 1
        else:
            within.append((layout, params))
    return Extent(
        study=study.name,
        n_layouts={depth: count_layouts(menu, depth) for depth in range(menu.space.depth[0], menu.space.depth[1] + 1)},
        scalars={name: _drawn(domain) for name, domain in domains.items() if not isinstance(domain, Fixed)},
        n_draws=n_draws,
        n_within=len(within),
        exceeded=dict(exceeded),
        sizes=list(_sizes(limits, costs, within)),
        starts_beyond=starts_beyond(study, kinds, costs),
    )


def count_layouts(menu: Menu, depth: int) -> int:
    """The number of layouts of so many blocks that the study could draw, each combination of options one."""
    return sum(_n_parts(menu, d_model) * _n_stacks(menu, depth, d_model) for d_model in menu.space.d_model)


def _n_parts(menu: Menu, d_model: int) -> int:
    return math.prod(len(set(menu.parts(place, d_model))) for place in PLACES)


State = tuple[int, frozenset[int], bool]  # sequence mixers so far, the k of from_layer that they allow, one is required


def _n_stacks(menu: Menu, depth: int, d_model: int) -> int:
    """Count stacks block by block: what comes next depends on nothing but the state."""
    ways = [
        (name, n, menu.role(block) == "sequence", menu.is_required(block))
        for name, block in menu.entries.items()
        if (n := menu.n_fitting(name, d_model))
    ]
    rule = frozenset(menu.rule.layer) if menu.rule else frozenset()
    states: Counter[State] = Counter({(0, rule, not menu.space.at_least_one_of): 1})
    for at in range(depth):
        following: Counter[State] = Counter()
        for (n_mixers, ks, there), n_before in states.items():
            for name, n, is_mixer, is_required in ways:
                if at == 0 and not is_mixer:
                    continue
                left = frozenset(k for k in ks if not is_mixer or name in menu.allowed(n_mixers, k))
                if rule and not left:
                    continue
                n_after = min(n_mixers + is_mixer, max(rule, default=0))  # beyond the last k all layers are alike
                following[n_after, left, there or is_required] += n_before * n
        states = following
    return sum(n for (_, _, there), n in states.items() if there)


def _drawn(domain: Domain) -> str:
    match domain:
        case Choice(values=values):
            return f"{len(values)} values"
        case Range(low=low, high=high) if value_type(domain) is int:
            return f"{int(high) - int(low) + 1} whole numbers"
        case Range(low=low, high=high):
            return f"{low:g} to {high:g}"
        case _:
            return "one value"


def _sizes(limits: Limits, costs: Costs, within: Sequence[tuple[Layout, Mapping[str, Value]]]) -> Iterator[Size]:
    if not within:
        return
    found = {"params": ("parameters", [costs(layout) for layout, _ in within])}
    amounts = [limits.at(params).amounts(layout) for layout, params in within]
    found |= {cap.key.removeprefix("max_"): (cap.unit, [each[cap.key] for each in amounts]) for cap in CAPS}
    for name, (unit, numbers) in found.items():
        yield Size(name=name, unit=unit, smallest=min(numbers), median=round(median(numbers)), largest=max(numbers))
