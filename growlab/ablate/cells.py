"""Which trainings an ablation has: first each arm is tuned, on seeds of its own, then all are repeated on fresh ones.

Tuning is equal on every side: each arm, and each depth of the envelope, gets the same values on the same seeds. Where
the best of them is the lowest or the highest of the list, the list goes on by a factor of √2 on that side, as far as
the value's bounds let it, so that the optimum of an arm is not at the edge of what was tried; after MOST_WIDENINGS it
may be, and the table says so.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any, Literal, TypeGuard

from growlab.ablate.file import Ablation, Arm
from growlab.errors import UsageError
from growlab.layout import OptionValue
from growlab.seeds import derived_seed
from growlab.study.reading import scalar_named

Stage = Literal["tuning", "repeat"]
MOST_WIDENINGS = 4  # of one value's list


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training."""

    stage: Stage
    arm: str
    budget: float  # a share of the arms' budget
    repeat: int
    values: tuple[tuple[str, OptionValue], ...]  # what is tuned, by full name

    def params(self) -> dict[str, Any]:
        """What its trial's row says of it."""
        return {"stage": self.stage, "arm": self.arm, "budget": self.budget, "repeat": self.repeat} | dict(self.values)

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Cell":
        """The cell of a row. Raises UsageError for the row of a trial that is no training of an ablation."""
        own = ("stage", "arm", "budget", "repeat")
        if missing := [name for name in own if name not in params]:
            raise UsageError(f"a trial without {', '.join(missing)} is no training of an ablation")
        values = tuple((name, value) for name, value in params.items() if name not in own)
        return cls(values=values, **{name: params[name] for name in own})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a training; a loss of inf: it diverged or failed."""

    val_loss: float
    flops: int
    tokens: int
    elapsed_s: float
    depth: int  # blocks at the end
    n_params: int


Outcomes = Mapping[Cell, Outcome]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning found for an arm; `cells` are the trainings that it took, or still takes."""

    cells: Sequence[Cell]
    values: tuple[tuple[str, OptionValue], ...] | None  # None while some of the cells have not ended
    at_edge: tuple[str, ...] = ()  # names of values whose best stayed the lowest or the highest that was tried


def seed_of(ablation: Ablation, stage: Stage, repeat: int) -> int:
    """31 bits that all arms share, and that no other repeat or stage has."""
    return derived_seed(ablation.seed, stage, repeat)


def cells_of(ablation: Ablation, arms: Mapping[str, Arm], outcomes: Outcomes) -> list[Cell]:
    """All trainings that are wanted, as far as the outcomes tell: an arm is repeated once all its tuning has ended."""
    tuned = {name: tune(ablation, arm, outcomes) for name, arm in arms.items()}
    cells = [cell for found in tuned.values() for cell in found.cells]
    for repeat in range(ablation.repeats):
        for name, found in tuned.items():
            if found.values is not None:
                cells += [
                    Cell(stage="repeat", arm=name, budget=budget, repeat=repeat, values=found.values)
                    for budget in arms[name].budgets
                ]
    return cells


def planned_cells(ablation: Ablation, arms: Mapping[str, Arm]) -> list[Cell]:
    """The trainings that are certain before any has ended: tuning as the file lists it, then repeats.

    What tuning will find is not known, so the repeats stand here with the first of the listed values.
    """
    tuning = cells_of(ablation, arms, {})
    repeats = [
        Cell(
            stage="repeat",
            arm=name,
            budget=budget,
            repeat=repeat,
            values=tuple((key, values[0]) for key, values in _tunable(ablation, arm).items()),
        )
        for repeat in range(ablation.repeats)
        for name, arm in arms.items()
        for budget in arm.budgets
    ]
    return list(dict.fromkeys([*tuning, *repeats]))


def tune(ablation: Ablation, arm: Arm, outcomes: Outcomes) -> Tuned:
    """The best values of an arm as far as the outcomes tell, and which trainings that takes."""
    lists = {name: list(values) for name, values in _tunable(ablation, arm).items()}
    if not lists:
        return Tuned(cells=[], values=())
    widenings = dict.fromkeys(lists, 0)
    while True:
        cells = _grid(ablation, arm.name, lists)
        if any(cell not in outcomes for cell in cells):
            return Tuned(cells=cells, values=None)
        best = _best(cells, outcomes)
        beyond = {name: _beyond(name, values, dict(best)[name]) for name, values in lists.items()}
        edges = [name for name, (below, above) in beyond.items() if below or above]
        wider = [name for name in edges if widenings[name] < MOST_WIDENINGS]
        if not wider:
            return Tuned(cells=cells, values=best, at_edge=tuple(edges))
        for name in wider:
            below, above = beyond[name]
            lists[name] = [*below, *lists[name], *above]
            widenings[name] += 1


def _tunable(ablation: Ablation, arm: Arm) -> dict[str, tuple[OptionValue, ...]]:
    """What is tuned for an arm: nothing of growth for one that does not grow."""
    return {
        name: values for name, values in ablation.tune.items() if arm.growth is not False or name.startswith("train.")
    }


def _grid(ablation: Ablation, arm: str, lists: Mapping[str, Sequence[OptionValue]]) -> list[Cell]:
    return [
        Cell(stage="tuning", arm=arm, budget=1.0, repeat=repeat, values=tuple(zip(lists, values, strict=True)))
        for values in product(*lists.values())
        for repeat in range(ablation.tuning_seeds)
    ]


def _best(cells: Iterable[Cell], outcomes: Outcomes) -> tuple[tuple[str, OptionValue], ...]:
    """The values of the lowest mean loss over the tuning seeds; the first of equals."""
    losses: dict[tuple[tuple[str, OptionValue], ...], list[float]] = {}
    for cell in cells:
        losses.setdefault(cell.values, []).append(outcomes[cell].val_loss)
    return min(losses, key=lambda values: fmean(losses[values]))


def _beyond(name: str, values: Sequence[OptionValue], best: OptionValue) -> tuple[list[float], list[float]]:
    """What to try below and above a list whose best value is its lowest or its highest number; [] where nothing is."""
    numbers = [value for value in values if _is_number(value)]
    if best not in numbers:
        return [], []
    below = _neighbour(name, best, 1 / math.sqrt(2)) if best == min(numbers) else []
    above = _neighbour(name, best, math.sqrt(2)) if best == max(numbers) else []
    return below, above


def _neighbour(name: str, value: Any, factor: float) -> list[float]:
    """The number beside this one, in a list, with four digits, which a file and a row have alike.

    A whole number stays one. At the last number that may be, and where the next one may not be, there is none.
    """
    moved, known = float(f"{value * factor:.4g}"), scalar_named(name)
    if known is not None:
        moved = known.nearest(moved)
        if not known.admits(moved):
            return []
    return [] if moved == value else [moved]


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
