"""How the numbers of a trial went while it was trained: losses, learning rate, experts' load, the paths of its weights.

A path is compared with two others: a straight one (τ 1, κ 0, H 1) and a random walk of as many increments n
(τ √n, κ √(n−1), H ½).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from growlab import amounts
from growlab.recipes import TriggerOptions
from growlab.records import TrajectoryPoint
from growlab.report.curve import loss_curve
from growlab.report.plain_tables import plain_table
from growlab.report.sparkline import finite_range, marks, sparkline
from growlab.report.terminal import as_it_is
from growlab.report.trial_facts import TrialFacts

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WIDTH = 40  # characters of a course
_SHORT_WIDTH = 12  # of three courses side by side
_LOADS = ("load_entropy", "largest_load")  # metrics of a block of experts: 1 is even, and 1 / n_experts


def courses(facts: TrialFacts, trigger: TriggerOptions | None) -> "Iterator[tuple[str, RenderableType]]":
    """Headings and drawings, in reading order; of what nothing is known yet there is none."""
    if curve := loss_over_compute(facts):
        yield "loss", as_it_is(curve)
    if training := _training(facts):
        yield "training", training
    if loads := _loads(facts):
        yield "load of experts (entropy: 1 is even; largest: share of the tokens at the busiest one)", loads
    if means := facts.means_of_newest():
        yield "path of the newest unit's weights (mean over its tensors)", _newest(means, facts, trigger)
    if len(of_units := facts.means_since_growth()) > 1:
        yield "paths of all units' weights (means over their tensors)", _units(of_units)


def loss_over_compute(facts: TrialFacts) -> str:
    """The losses over FLOPs, growths marked; over tokens where FLOPs are on no record; '' without a finite loss."""
    over = "FLOPs" if facts.by_step("train", "flops") else "tokens"
    spent = facts.by_step("train", over.lower())

    def by_spent(losses: Mapping[int, float]) -> dict[int, float]:
        return {int(spent[step]): loss for step, loss in losses.items() if step in spent}

    growths = [round(between(spent, event.step)) for event in facts.growth_events] if spent else []
    val, train = (by_spent(facts.by_step(split, "loss")) for split in ("val", "train"))
    return loss_curve(val, train, growths, over=over)


def between(values: Mapping[int, float], step: int) -> float:
    """The value at a step, by a straight line between its neighbours; beyond the first and the last one, theirs."""
    before = max((known for known in values if known <= step), default=min(values))
    after = min((known for known in values if known >= step), default=max(values))
    if after == before:
        return values[before]
    return values[before] + (values[after] - values[before]) * (step - before) / (after - before)


def _training(facts: TrialFacts) -> "Table | None":
    """The course of what training was done with, and how fast, growths marked below."""
    shown = {"lr": "lr", "gradient norm": "grad_norm", "tokens/s": "tokens_per_s"}
    known = {title: values for title, name in shown.items() if (values := facts.by_step("train", name))}
    if not known:
        return None
    steps = sorted(set().union(*known.values()))
    table = plain_table("", f"steps {steps[0]} to {steps[-1]}", "first", "last", "range")
    for title, values in known.items():
        course = [values.get(step) for step in steps]
        first, last = values[min(values)], values[max(values)]
        table.add_row(title, sparkline(course, _WIDTH), *map(amounts.measured, (first, last)), _measured_range(course))
    _mark_growths(table, steps, facts)
    return table


def _loads(facts: TrialFacts) -> "Table | None":
    """A line for a block of experts: how evenly they are chosen, from evaluation to evaluation."""
    of_blocks = sorted({metric.name.rpartition(".")[0] for metric in facts.metrics if _is_load(metric.name)})
    if not of_blocks:
        return None
    table = plain_table("block", "entropy", "", "largest", "")
    for block in of_blocks:
        cells = list[str]()
        for name in _LOADS:
            values = facts.by_step("val", f"{block}.{name}")
            course = [values[step] for step in sorted(values)]
            cells += [amounts.number(course[-1], 2) if course else amounts.UNKNOWN, sparkline(course, _SHORT_WIDTH)]
        table.add_row(block.removeprefix("block_"), *cells)
    return table


def _is_load(name: str) -> bool:
    return name.rpartition(".")[2] in _LOADS


# ---- paths ----------------------------------------------------------------------------------------------------------


def random_walk(n_increments: int) -> dict[str, float]:
    """τ, κ and H that a random walk of so many increments has in many dimensions."""
    return {"tau": math.sqrt(n_increments), "kappa": math.sqrt(max(n_increments - 1, 0)), "diffusion_exponent": 0.5}


def _newest(means: Sequence[TrajectoryPoint], facts: TrialFacts, trigger: TriggerOptions | None) -> "Table":
    """A line for a statistic: its course over the snapshots, its range, and what to compare it with."""
    walk = random_walk(means[-1].n_increments)
    critical = {name: f", critical {value:.4g}" for name, value in (trigger.critical() if trigger else {}).items()}
    lines: tuple[tuple[str, list[float | None], str], ...] = (
        ("τ", [point.tau for point in means], f"1 straight, {walk['tau']:.2f} random walk{critical.get('tau', '')}"),
        (
            "κ",
            [point.kappa for point in means],
            f"0 straight, {walk['kappa']:.2f} random walk{critical.get('kappa', '')}",
        ),
        ("H", [point.diffusion_exponent for point in means], "1 straight, 0.5 random walk"),
        ("r̂²", [point.drift_to_noise for point in means], "drift to noise, 0 random walk"),
    )
    if predicted := facts.by_step("train", "back_test"):
        halves = [predicted.get(point.step) for point in means]
        lines += (("λ", halves, "second half by the first, 1 the same"),)
    table = plain_table("", f"steps {means[0].step} to {means[-1].step}", "range", "")
    for name, values, meaning in lines:
        table.add_row(name, sparkline(values, _WIDTH), _range(values), meaning)
    _mark_growths(table, [point.step for point in means], facts)
    return table


def _units(of_units: Mapping[int, Sequence[TrajectoryPoint]]) -> "Table":
    """A line for a unit, from the input side: its newest statistics, and their courses since the units are these."""
    points = [point for of_unit in of_units.values() for point in of_unit]
    steps = [point.step for point in points]
    walk = random_walk(max(points, key=lambda point: point.step).n_increments)
    table = plain_table("unit", "τ", "", "κ", "", "H", "", "r̂²", "z")
    for unit, of_unit in of_units.items():
        newest, cells = of_unit[-1], list[str]()
        for name in ("tau", "kappa", "diffusion_exponent"):
            course = sparkline([getattr(point, name) for point in of_unit], _SHORT_WIDTH)
            cells += [amounts.number(getattr(newest, name), 2), course]
        table.add_row(
            str(unit), *cells, *(amounts.number(value, 2) for value in (newest.drift_to_noise, newest.drift_z))
        )
    references = (f"{walk['tau']:.2f}", "random walk", f"{walk['kappa']:.2f}", "", f"{walk['diffusion_exponent']:.2f}")
    table.add_row("", *references, style="dim")
    table.add_row("", "1.00", "straight", "0.00", "", "1.00", f"steps {min(steps)}–{max(steps)}", style="dim")
    return table


def _mark_growths(table: "Table", steps: Sequence[int], facts: TrialFacts) -> None:
    """Add a line that shows below a course over these steps where the trial grew; none where it did not."""
    line = marks(steps, [event.step for event in facts.growth_events], _WIDTH)
    if line.strip():
        table.add_row("", line, "▲ growth")


def _range(values: Sequence[float | None]) -> str:
    """The lowest and the highest value, '1.02 to 3.74', with '∞' for a path that closed."""
    ends = finite_range(values)
    if ends is None:
        return amounts.UNKNOWN
    high = math.inf if math.inf in values else ends[1]
    return f"{amounts.number(ends[0], 2)} to {amounts.number(high, 2)}"


def _measured_range(values: Sequence[float | None]) -> str:
    ends = finite_range(values)
    return amounts.UNKNOWN if ends is None else f"{amounts.measured(ends[0])} to {amounts.measured(ends[1])}"
