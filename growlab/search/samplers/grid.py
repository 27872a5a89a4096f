"""Every layout to start with at every combination of the choices: a comparison, where nothing is searched.

The first trials of a study are cells of a table, layout by layout, the last of the searched scalars (in the order of
their names) changing fastest:

    start_with: [A, B], train.lr: [1e-3, 1e-2]   →   A 1e-3, A 1e-2, B 1e-3, B 1e-2

A cell is a function of the trial's number: what finished before it, and the study's seed, change nothing. What comes
after the table, if n_trials leaves room, is a search by evolution, which has learnt from the cells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from growlab.domains import Choice, Range, Value
from growlab.errors import UsageError
from growlab.search.samplers.evolution import EvolutionOptions, evolution
from growlab.search.sampling import Ask, Suggestion, register_sampler
from growlab.study import Study


@dataclass(frozen=True, kw_only=True)
class GridOptions(EvolutionOptions):
    """The options of the search that comes after the table."""

    def n_first(self, study: Study) -> int:
        return len(study.layouts.start_with) * n_combinations(study)

    def n_cells(self, study: Study) -> int:
        return self.n_first(study)

    def check(self, study: Study) -> None:
        if not study.layouts.start_with:
            raise UsageError("sampler grid compares the layouts of layouts.start_with, which names none")
        if study.starts():
            raise UsageError("sampler grid gives each trial its values; leave sampler.start_with out")
        for name in ranges_of(study):
            raise UsageError(f"sampler grid needs a list of choices or one value for {name}, got a range")

    def warnings(self, study: Study) -> Iterator[str]:
        yield from super().warnings(study)
        if study.n_proposals < self.n_first(study):
            n_trials = self.n_first(study) * study.repeats
            yield f"n_trials {study.n_trials} ends before sampler grid does, which has {n_trials} trials"


@register_sampler("grid", "each layout of layouts.start_with at every combination of the choices", options=GridOptions)
def grid(ask: Ask, options: GridOptions) -> Suggestion:
    """The cell of this number; after the last one what evolution suggests."""
    if ask.number >= options.n_cells(ask.study):
        return evolution(ask, options)
    params = cell(ask.study, ask.number)
    return Suggestion(draw=ask.start(ask.number // n_combinations(ask.study), params), params=params)


def cell(study: Study, number: int) -> dict[str, Value]:
    """The searched scalars of trial `number` of a grid, by full name; number < n_cells."""
    choices = choices_of(study)
    combinations = list(product(*choices.values()))
    return dict(zip(choices, combinations[number % len(combinations)], strict=True))


def n_combinations(study: Study) -> int:
    """The number of combinations of the searched scalars; 1 where the study fixes them all."""
    return prod(len(values) for values in choices_of(study).values())


def choices_of(study: Study) -> Mapping[str, tuple[Value, ...]]:
    """Full name to values, for what the study does not fix. A grid has no ranges: its check refuses them."""
    return {name: domain.values for name, domain in study.scalars().items() if isinstance(domain, Choice)}


def ranges_of(study: Study) -> list[str]:
    """Full names of the scalars that are searched over a range, which has no end of values."""
    return [name for name, domain in study.scalars().items() if isinstance(domain, Range)]
