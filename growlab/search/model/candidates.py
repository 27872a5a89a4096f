"""Configurations worth asking a model about: children of what is good, two good ones joined, and fresh draws.

Layout and scalars change together or alone. Every candidate lies in the study's space, and nobody tried it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from random import Random

from growlab.domains import Choice, Domain, Fixed, Value
from growlab.layout import Layout
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.encoding import Encoding
from growlab.search.mutations import mutate
from growlab.search.random_layouts import random_layout
from growlab.search.repair import repair
from growlab.search.scalars import acting_among, may_matter
from growlab.search.scale import draw_of, scale_of, value_of
from growlab.study import Study

FRESH_SHARE = 0.15  # of the candidates are drawn at random
JOINED_SHARE = 0.15  # are two parents joined
_STEPS = (0.05, 0.15, 0.4)  # standard deviations by which a scalar moves, on its scale from 0 to 1
_TRIES = 3  # for each candidate


@dataclass(frozen=True)
class Parent:
    number: int | None  # of its trial; None of a candidate that is no child itself
    configuration: Configuration


@dataclass(frozen=True)
class Candidate:
    configuration: Configuration
    parent: int | None = None  # number of a trial
    description: str = ""  # of what was done to the parent


class Breeder:
    """Makes candidates; all that is random in them comes from `rng`."""

    def __init__(self, rng: Random, study: Study, menu: Menu, encoding: Encoding) -> None:
        self._rng, self._menu, self._encoding = rng, menu, encoding
        self._scalars = Scalars({name: each for name, each in study.scalars().items() if may_matter(name, each)})

    def candidates(self, parents: Sequence[Parent], n: int, tried: Collection[Configuration]) -> list[Candidate]:
        """About n candidates, no two of them alike; fewer where the space is all but exhausted."""
        found: dict[Configuration, Candidate] = {}
        for _ in range(n):
            for _ in range(_TRIES):
                candidate = self._one(parents)
                made = candidate.configuration
                if made not in tried and made not in found:
                    found[made] = candidate
                    break
        return list(found.values())

    def near(self, candidate: Candidate, n: int) -> Iterator[Candidate]:
        """Candidates that differ from one by a single change."""
        for _ in range(n):
            yield self._child(Parent(candidate.parent, candidate.configuration), candidate.description, 1)

    def fresh(self) -> Candidate:
        return Candidate(
            Configuration(random_layout(self._rng, self._menu), self._scalars.draw(self._rng)),
            description="",
        )

    def _one(self, parents: Sequence[Parent]) -> Candidate:
        share = self._rng.random()
        if not parents or share < FRESH_SHARE:
            return self.fresh()
        if len(parents) > 1 and share < FRESH_SHARE + JOINED_SHARE:
            return self._joined(*self._rng.sample(list(parents), 2))
        return self._child(self._rng.choice(parents), "", self._rng.choice((1, 1, 2, 3)))

    def _child(self, parent: Parent, before: str, n_changes: int) -> Candidate:
        """Change the layout, the scalars or both; scalars alone where the space has but one layout."""
        layout, params, changes = parent.configuration.layout, parent.configuration.params, [before] if before else []
        searched = self._scalars.are_searched
        layout, repaired = repair(self._rng, layout, self._menu)  # a layout to start with may be from outside
        changes += repaired
        what = self._rng.random()
        if what < 0.7 or not searched:
            for _ in range(n_changes):
                if change := mutate(self._rng, layout, self._menu):
                    layout, description = change
                    changes.append(description)
        if searched and (what >= 0.5 or not changes):
            params, moved = self._scalars.move(self._rng, params)
            changes.append(moved)
        number = parent.number
        return Candidate(Configuration(layout, params), number, "; ".join(filter(None, changes)))

    def _joined(self, one: Parent, other: Parent) -> Candidate:
        """The lower part of one and the upper part of the other, cut where each has the same share of its size."""
        lower, upper = one.configuration.layout, other.configuration.layout
        cut = self._rng.randint(1, max(lower.depth - 1, 1))
        share = self._shares(lower)[cut - 1]
        shares = self._shares(upper)
        above = min(range(upper.depth), key=lambda at: (abs(shares[at] - share), at)) + 1
        layout = replace(lower, blocks=(*lower.blocks[:cut], *upper.blocks[above:]), head=upper.head)
        layout, repaired = repair(self._rng, layout, self._menu)
        params = self._scalars.join(self._rng, one.configuration.params, other.configuration.params)
        description = f"the first {cut} blocks, and those of trial {other.number} from {above} on"
        return Candidate(Configuration(layout, params), one.number, "; ".join([description, *repaired]))

    def _shares(self, layout: Layout) -> list[float]:
        """The share of the parameters that the blocks up to each have."""
        sizes = [max(self._encoding.size_of_block(block, layout.d_model), 1) for block in layout.blocks]
        return [size / sum(sizes) for size in accumulate(sizes)]


# ---- scalars -----------------------------------------------------------------------------------------------------


class Scalars:
    """Draws and moves the scalars of a study."""

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self._domains = domains
        self._fixed = {name: domain.value for name, domain in domains.items() if isinstance(domain, Fixed)}
        self._searched = tuple([name for name in domains if name not in self._fixed])
        self._draw = {name: draw_of(domains[name]) for name in self._searched}
        self._scale = {name: scale_of(domains[name]) for name in self._searched}
        self._value = {name: value_of(domains[name]) for name in self._searched}

    @property
    def are_searched(self) -> bool:
        """Whether any of them is not fixed."""
        return bool(self._searched)

    def draw(self, rng: Random, given: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """A value for every searched scalar that acts, given ones as they are, in the order of the domains."""
        values = {**self._fixed, **(given or {})}
        while True:
            acting = acting_among(self._searched, values)
            ready = [name for name in self._searched if name in acting and name not in values]
            if not ready:
                return {name: values[name] for name in self._searched if name in acting}
            for name in ready:
                values[name] = self._draw[name](rng)

    def move(self, rng: Random, params: Mapping[str, Value]) -> tuple[dict[str, Value], str]:
        """One or two scalars moved, and what that brought into play drawn; with what was done, in words."""
        names = list(params)
        if not names:
            return self.draw(rng), ""
        moved = dict(params)
        chosen = rng.sample(names, min(len(names), rng.choice((1, 1, 2))))
        for name in chosen:
            moved[name] = self._moved(rng, name, moved[name])
        after = self.draw(rng, {name: value for name, value in moved.items() if name in self._domains})
        changes = [f"{name} {_text(params[name])}→{_text(after[name])}" for name in chosen if name in after]
        return after, "; ".join(changes)

    def join(self, rng: Random, one: Mapping[str, Value], other: Mapping[str, Value]) -> dict[str, Value]:
        """Each value of the one or of the other; what acts in the mixture and is of neither is drawn."""
        names = [name for name in self._domains if name in one or name in other]
        mixed = {name: rng.choice([params[name] for params in (one, other) if name in params]) for name in names}
        return self.draw(rng, mixed)

    def _moved(self, rng: Random, name: str, value: Value) -> Value:
        domain, scale = self._domains[name], self._scale[name]
        if isinstance(domain, Choice) and len(domain.values) > 1:
            others = [known for known in domain.values if known != value]
            if any(isinstance(known, str | bool) for known in domain.values):
                return rng.choice(others)
            at = scale(value) * (len(domain.values) - 1)
            nearest = sorted(others, key=lambda known: abs(scale(known) * (len(domain.values) - 1) - at))
            return rng.choice(nearest[:2] if rng.random() < 0.7 else others)
        return self._value[name](scale(value) + rng.gauss(0, rng.choice(_STEPS)))


def draw_scalars(
    rng: Random, domains: Mapping[str, Domain], given: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """As `Scalars.draw`, of domains of which few are drawn."""
    return Scalars(domains).draw(rng, given)


def _text(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
