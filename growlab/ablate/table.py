"""An ablation's table: for a person on a terminal, as TSV or JSON for a program, and a drawing of the speed-ups."""

import math
from collections.abc import Sequence
from typing import Any, TextIO

from growlab import amounts
from growlab.ablate.cells import Outcome
from growlab.ablate.verdicts import ArmResult, Result
from growlab.delimited import delimited
from growlab.report.formats import write_json
from growlab.report.terminal import console_for
from growlab.report.terminal_table import TableColumn, fitting, print_left_out, table_of

_FIRST_TO_GO = ("time", "tokens/param", "params", "n", "FLOPs", "tuned", "depth", "val_loss")  # then the gain
_LEAST_VERDICT = 10  # characters of a line
_WIDTH = 41  # characters of a drawn interval


def print_table(result: Result, stream: TextIO) -> None:
    """Write the arms, their verdicts, and what is to be known about them."""
    console = console_for(stream)
    rows = result.arms

    def draw(hidden: Sequence[str]) -> Any:
        columns = [column for column in _columns(result) if column.header not in hidden]
        return table_of(rows, columns, folded_width=_LEAST_VERDICT)

    table, hidden = fitting(draw, [*_FIRST_TO_GO, _gain_header(result)], console)
    console.print(table)
    print_left_out(hidden, console, "--json")
    for line in [*drawing(result), *notes(result)]:
        stream.write(line + "\n")


def _columns(result: Result) -> list[TableColumn[ArmResult]]:
    ablation = result.ablation
    return [
        TableColumn("arm", lambda row: row.arm + ("*" if row.is_primary else ""), "left"),
        TableColumn("budget", lambda row: f"{row.budget:g}"),
        TableColumn("tuned", _tuned, "left"),
        TableColumn("depth", lambda row: amounts.whole(row.depth)),
        TableColumn("params", lambda row: amounts.count(row.n_params)),
        TableColumn("tokens/param", _tokens_per_parameter),
        TableColumn("FLOPs", lambda row: amounts.flops(row.flops)),
        TableColumn("time", lambda row: amounts.duration(row.elapsed_s)),
        TableColumn("n", lambda row: f"{row.n}" + (f" ({row.n_failed} failed)" if row.n_failed else "")),
        TableColumn("val_loss", _loss),
        TableColumn(_gain_header(result), lambda row: row.gain_text(ablation)),
        TableColumn("verdict", lambda row: verdict(result, row), "left", folds=True),
    ]


def _gain_header(result: Result) -> str:
    return f"val_loss − {result.ablation.against}'s" if result.ablation.against else "speed-up"


def verdict(result: Result, row: ArmResult) -> str:
    """The verdict on an arm in words; '' where there is none yet, or none to make."""
    if row.decision is None:
        return ""
    words = row.decision.text(margin_text(result))
    return words if row.is_primary else f"{words} (exploratory)"


def margin_text(result: Result) -> str:
    """The margin as its unit is read: '5 %' of compute, or '0.005 nats'."""
    margin = result.ablation.margin
    return f"{margin:g} nats" if result.ablation.against else f"{100 * margin:g} %"


def _tuned(row: ArmResult) -> str:
    return ", ".join(
        f"{name.rpartition('.')[2]} {value}" + (" (edge)" if name in row.at_edge else "") for name, value in row.values
    )


def _tokens_per_parameter(row: ArmResult) -> str:
    return "" if not row.tokens or not row.n_params else f"{row.tokens / row.n_params:.3g}"


def _loss(row: ArmResult) -> str:
    if row.val_loss is None:
        return ""
    width = row.val_loss.half_width
    return f"{row.val_loss.mean:.4f}" + ("" if width is None else f" ± {width:.4f}")


def drawing(result: Result) -> list[str]:
    """Each arm's interval as a line, over a scale that all share; [] where no arm has one."""
    shown = [row for row in result.arms if row.decision and row.decision.shown and row.decision.shown.half_width]
    if not shown:
        return []
    sign = -1.0 if result.ablation.against else 1.0
    ends = [0.0, *(sign * end for row in shown for end in _interval(row))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def at(value: float) -> int:
        return round((value - low) / span * (_WIDTH - 1))

    width = max(len(row.arm) for row in shown)
    lines = []
    for row in shown:
        left, right = sorted(at(sign * end) for end in _interval(row))
        marks = ["─" if left <= place <= right else " " for place in range(_WIDTH)]
        marks[at(0.0)] = "┼" if left <= at(0.0) <= right else "│"
        marks[at(sign * row.decision.gain.value)] = "●"  # type: ignore[union-attr]
        lines.append(f"  {row.arm:<{width}}  {''.join(marks)}")
    scale = (low, high) if result.ablation.against else (math.exp(low), math.exp(high))
    unit = " nats" if result.ablation.against else " ×"
    left_end, right_end = (f"{end:.3g}{unit}" for end in scale)
    return ["", *lines, f"  {'':<{width}}  {left_end}{right_end:>{_WIDTH - len(left_end)}}", ""]


def _interval(row: ArmResult) -> tuple[float, float]:
    assert row.decision is not None
    assert row.decision.shown is not None
    low, high = row.decision.shown.low, row.decision.shown.high
    assert low is not None
    assert high is not None
    return low, high


def notes(result: Result) -> list[str]:
    """Lines about the table: what was compared with what, what is missing, and what it cost."""
    ablation = result.ablation
    if ablation.against:
        measured = f"val_loss less that of {ablation.against} on the same seed (below 0 is better)"
    else:
        assert ablation.envelope is not None
        measured = (
            "speed-up: compute that un-grown training needs for the same val_loss, over the compute spent, against the "
            f"envelope of each seed ({', '.join(f'{budget:g}' for budget in ablation.envelope.budgets)} of the budget)"
        )
    lines = [f"{measured}; mean and 95 % interval over seeds"]
    if ablation.primary:
        lines.append("* primary: named before the first run, corrected by Holm; all else is exploratory")
    if result.n_ended < result.n_cells:
        lines.append(ended_text(result))
    if result.lost_cells:
        lines.append(f"diverged or failed, and on nobody's envelope: {', '.join(result.lost_cells)}")
    lines += [
        f"{row.arm}: {row.n_failed} of {row.n + row.n_failed} repeats diverged or failed; val_loss is the mean of the "
        "rest, the verdict counts them against it"
        for row in result.arms
        if row.n_failed and row.decision
    ]
    edges = {row.arm: row.at_edge for row in result.arms if row.at_edge}  # once for all budgets of a depth
    lines += [
        f"{arm}: the best {', '.join(names)} is the lowest or highest tried; widen tune" for arm, names in edges.items()
    ]
    lines.append(
        f"all trainings together: {amounts.flops(float(result.training_flops))}, {amounts.duration(result.training_s)}"
    )
    return lines


def ended_text(result: Result) -> str:
    """How far an ablation has come that is not over."""
    n_ended, n_cells = result.n_ended, result.n_cells
    return f"{n_ended} of {n_cells} trainings that are known to be needed have ended; verdicts come with the last"


def print_tsv(result: Result, stream: TextIO) -> None:
    """Write a line for each arm under names: plain numbers, all their digits; nothing while no arm is tuned."""
    mappings = [row_mapping(result, row) for row in result.arms]
    if not mappings:
        return
    names = list(mappings[0])
    stream.write(delimited(names, (list(mapping.values()) for mapping in mappings), "\t"))


def print_json(result: Result, stream: TextIO) -> None:
    """Write the whole result."""
    write_json(result_mapping(result), stream)


def result_mapping(result: Result) -> dict[str, Any]:
    """The whole result as a program reads it."""
    return {
        "name": result.ablation.name,
        "arms": [row_mapping(result, row) for row in result.arms],
        "n_trainings": result.n_cells,
        "n_ended": result.n_ended,
        "lost_cells": list(result.lost_cells),
        "flops": result.training_flops,
        "elapsed_s": result.training_s,
        "margin": result.ablation.margin,
        "against": result.ablation.against or "envelope",
    }


def print_trainings(result: Result, stream: TextIO) -> None:
    """Write a line for each training that has ended; an empty val_loss: it diverged or failed."""
    keys = sorted({name for cell in result.outcomes for name, _ in cell.values})
    names = ["stage", "arm", "budget", "repeat", *keys, "val_loss", "flops", "tokens", "elapsed_s", "depth", "n_params"]
    lines = (
        [cell.stage, cell.arm, cell.budget, cell.repeat, *map(dict(cell.values).get, keys), *_numbers(outcome)]
        for cell, outcome in result.outcomes.items()
    )
    stream.write(delimited(names, lines, "\t"))


def _numbers(outcome: Outcome) -> list[float | None]:
    val_loss = outcome.val_loss if math.isfinite(outcome.val_loss) else None
    return [val_loss, outcome.flops, outcome.tokens, outcome.elapsed_s, outcome.depth, outcome.n_params]


def row_mapping(result: Result, row: ArmResult) -> dict[str, Any]:
    """An arm as a program reads it; gains are log speed-ups, or nats of val_loss saved."""
    decision, loss = row.decision, row.val_loss
    shown = decision.shown if decision else None
    return {
        "arm": row.arm,
        "budget": row.budget,
        "primary": row.is_primary,
        "tuned": ", ".join(f"{name} {value}" for name, value in row.values),
        "at_edge": ", ".join(row.at_edge),
        "depth": row.depth,
        "n_params": row.n_params,
        "n": row.n,
        "n_failed": row.n_failed,
        "val_loss": loss.mean if loss else None,
        "val_loss_sd": loss.sd if loss else None,
        "val_loss_half_width": loss.half_width if loss else None,
        "flops": row.flops,
        "tokens": row.tokens,
        "elapsed_s": row.elapsed_s,
        "gain": decision.gain.value if decision else None,
        "bound": decision.gain.bound.value if decision else None,
        "gain_low": shown.low if shown else None,
        "gain_high": shown.high if shown else None,
        "p_value": decision.p_value if decision else None,
        "adjusted_p": decision.adjusted_p if decision else None,
        "verdict": decision.verdict.value if decision else None,
        "repeats_that_would_tell": decision.repeats if decision else None,
    }
