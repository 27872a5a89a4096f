"""Every layout to start with at every combination of the choices: a comparison, where nothing is searched.

With sampler.grid the first trials of a study are cells of a table, layout by layout, the last of the searched scalars
(in the order of their names) changing fastest:

    start_with: [A, B], train.lr: [1e-3, 1e-2]   →   A 1e-3, A 1e-2, B 1e-3, B 1e-2

A cell is a function of the trial's number: what finished before it, and the study's seed, change nothing. What comes
after the table, if n_trials leaves room, is a search as in any other study, which has learnt from the cells.
"""

from collections.abc import Mapping
from itertools import product
from math import prod

from growlab.domains import Choice, Range, Value
from growlab.study import Study


def n_first(study: Study) -> int:
    """Trials whose layout is one to start with."""
    return len(study.layouts.start_with) * (n_combinations(study) if study.sampler.grid else 1)


def start_of(study: Study, number: int) -> int:
    """Which of the layouts to start with trial `number` has; number < n_first."""
    return number // n_combinations(study) if study.sampler.grid else number


def cell(study: Study, number: int) -> dict[str, Value]:
    """The searched scalars of trial `number` of a grid, by full name; number < n_first."""
    choices = choices_of(study)
    combinations = list(product(*choices.values()))
    return dict(zip(choices, combinations[number % len(combinations)], strict=True))


def n_combinations(study: Study) -> int:
    """Of the searched scalars; 1 where the study fixes them all."""
    return prod(len(values) for values in choices_of(study).values())


def choices_of(study: Study) -> Mapping[str, tuple[Value, ...]]:
    """Full name to values, for what the study does not fix. It has no ranges where it asks for a grid: check_space."""
    return {name: domain.values for name, domain in study.scalars().items() if isinstance(domain, Choice)}


def ranges_of(study: Study) -> list[str]:
    """Full names of the scalars that are searched over a range, which has no end of values."""
    return [name for name, domain in study.scalars().items() if isinstance(domain, Range)]
