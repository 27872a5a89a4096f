"""Trials side by side for a person: a column for each, as many as there is room for; and for a program."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from growlab import amounts
from growlab.report.columns import short
from growlab.report.comparison import ComparedTrial, Comparison, comparison_as_mapping, n_growths
from growlab.report.formats import write_json, write_mappings
from growlab.report.short_layouts import short_layouts
from growlab.report.sparkline import sparkline
from growlab.report.terminal import Trimmed, as_it_is, console_for, folded

if TYPE_CHECKING:
    from rich.table import Table

_CURVE_WIDTH = 20  # characters, at most
_LAYOUT_LINES = 8
_LEAST_COLUMN = 14
_GROUP_KEYS = ("study", "layout")  # values that the head of a column says already

Row = tuple[str, Callable[[ComparedTrial], str]]

_RESULT: tuple[Row, ...] = (
    ("state", lambda compared: str(compared.facts.trial.state)),
    ("val_loss", lambda compared: amounts.loss(compared.facts.trial.val_loss)),
    ("best", lambda compared: amounts.loss(compared.facts.trial.best_val_loss)),
    ("at equal FLOPs", lambda compared: amounts.loss(compared.at_equal_flops)),
    ("params", lambda compared: amounts.count(compared.facts.trial.n_params)),
    ("depth", lambda compared: amounts.depth(compared.facts.trial.depth_start, compared.facts.trial.depth_end)),
    ("growths", lambda compared: str(n_growths(compared.facts))),
    ("compute", lambda compared: amounts.flops(compared.facts.trial.flops)),
    ("tokens", lambda compared: amounts.count(compared.facts.trial.tokens)),
    ("time", lambda compared: amounts.duration(compared.facts.trial.elapsed_s)),
)


def render_comparison(comparison: Comparison, format: str, stream: TextIO) -> None:
    """Write the trials side by side, as JSON whole, in TSV and CSV a row for each trial. Raises UnknownName."""
    match format:
        case "table":
            _print(comparison, stream)
        case "json":
            write_json(comparison_as_mapping(comparison), stream)
        case _:
            rows = [_flat(trial, comparison.differing) for trial in comparison_as_mapping(comparison)["trials"]]
            write_mappings(list(rows[0]), rows, format, stream)


def _flat(trial: Mapping[str, object], differing: Sequence[str]) -> dict[str, object]:
    """A trial without its curve, and of its values those in which trials differ."""
    values = trial["values"]
    assert isinstance(values, Mapping)
    own = {name: value for name, value in trial.items() if name not in ("values", "curve")}
    return {**own, **{key: values.get(key) for key in differing if key not in own}}


def _print(comparison: Comparison, stream: TextIO) -> None:
    console = console_for(stream)
    trials = comparison.trials
    console.print(as_it_is(f"{len(trials)} trials side by side", "bold"))
    # beside the names of values as many trials as there is room for, at least one
    heads = [row[0] for row in _RESULT] + [key for key in comparison.differing if key not in _GROUP_KEYS]
    room = console.width - max(map(len, heads)) - 4
    at_once = max(1, min(len(trials), room // (_LEAST_COLUMN + 2)))
    width = min(room // at_once - 2, max(map(_longest, trials)))
    for start in range(0, len(trials), at_once):
        shown = trials[start : start + at_once]
        console.print()
        console.print(Trimmed(_table(comparison, shown, max(width, 1))))
    for note in _notes(comparison):
        console.print(as_it_is(note))


def _longest(compared: ComparedTrial) -> int:
    return max(len(str(compared.name)), len(compared.facts.trial.layout), _CURVE_WIDTH)


def _table(comparison: Comparison, shown: Sequence[ComparedTrial], width: int) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    for compared in shown:
        table.add_column(as_it_is(str(compared.name)), overflow="fold")
    layouts = short_layouts(compared.facts.trial.layout for compared in comparison.trials).texts
    texts = [folded(layouts[compared.facts.trial.layout], width, _LAYOUT_LINES) for compared in shown]
    table.add_row("layout", *map(as_it_is, texts))
    for name, cell in _RESULT:
        table.add_row(name, *(as_it_is(cell(compared)) for compared in shown))
    table.add_row("curve", *(_curve(comparison, compared, min(width, _CURVE_WIDTH)) for compared in shown))
    for key in comparison.differing:
        if key not in _GROUP_KEYS:
            table.add_row(as_it_is(key), *(as_it_is(short(compared.values.get(key))) for compared in shown))
    return table


def _curve(comparison: Comparison, compared: ComparedTrial, width: int) -> str:
    """val_loss over FLOPs, all trials on one axis: who spent less has a shorter one."""
    end = max((flops for trial in comparison.trials for flops in trial.curve), default=0)
    if not compared.curve:
        return ""
    values: list[float | None] = [None] * width
    for flops, loss in sorted(compared.curve.items()):
        values[min(width - 1, flops * width // max(end, 1))] = loss
    known = None
    last = max(at for at, value in enumerate(values) if value is not None)
    for at, value in enumerate(values[: last + 1]):
        known = values[at] = known if value is None else value
    return sparkline(values, width).rstrip()


def _notes(comparison: Comparison) -> Iterator[str]:
    layouts = short_layouts(compared.facts.trial.layout for compared in comparison.trials)
    if layouts.common:
        yield f"left out of layouts, as it is the same wherever it stands: {', '.join(layouts.common)}"
    if comparison.equal_flops is not None:
        yield f"at equal FLOPs: val_loss at {amounts.flops(comparison.equal_flops)}, where the cheapest of them ended"
    if len({compared.values.get("seed") for compared in comparison.trials}) > 1:
        yield "one training each, on different seeds: a small difference may be chance (--group-by compares many)"
