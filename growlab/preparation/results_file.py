"""Results of trainings elsewhere, from a table: CSV or TSV with the columns layout, scalars by full name, losses and
other metrics that the study judges by.

What `growlab report --format csv` prints is such a table; its other columns are not read.
"""

import csv
import io
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from growlab.errors import UsageError
from growlab.escapes import first_line, quoted
from growlab.records import LOSSES, TrialState

_LAYOUT, _STATE = "layout", "state"
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class PastResult:
    line: int  # of the file, from 1
    layout: str
    values: Mapping[str, str]  # as they are written, by the names of their columns; none that is empty
    metrics: Mapping[str, float]  # losses, and what else the study judges by
    state: TrialState


@dataclass(frozen=True, kw_only=True)
class ResultsFile:
    results: list[PastResult]
    unread: list[str]  # columns
    n_open: int  # lines of trials that had not ended


def read_results(path: Path, objective: str, recorded: Collection[str] = ()) -> ResultsFile:
    """Read a table of results. Raises UsageError, with the line, for what is none.

    `recorded` are keys of metrics that are read beside the losses, where a column has their name.
    """
    reader = csv.DictReader(io.StringIO(text := _text_of(path)), delimiter="\t" if "\t" in first_line(text) else ",")
    try:
        names, rows = list(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num} is no line of a table: {error}") from None
    if missing := [name for name in (_LAYOUT, objective) if name not in names]:
        there = quoted(", ".join(names)) if names else "nothing"
        raise UsageError(
            f"{path}: needs the columns {_LAYOUT} and {objective}, which the study is ranked by, beside the searched "
            f"scalars such as train.lr; it lacks {', '.join(missing)} and has {there}"
        )
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: names a column twice: {quoted(', '.join(names))}")
    metrics = [*LOSSES, *(key for key in recorded if key not in LOSSES)]
    scalars = [name for name in names if "." in name and name not in metrics]
    found = [_result(path, line, row, objective, scalars, metrics) for line, row in rows]
    known = {_LAYOUT, _STATE, *metrics, *scalars}
    return ResultsFile(
        results=[result for result in found if result.state.is_final],
        unread=[name for name in names if name not in known],
        n_open=sum(not result.state.is_final for result in found),
    )


def _text_of(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError(f"no file {quoted(str(path))}; give a CSV or TSV file of results")
        if (n_bytes := path.stat().st_size) > _MOST_BYTES:
            raise UsageError(f"{path}: has {n_bytes:,} bytes, and a table of results at most {_MOST_BYTES:,}")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is no UTF-8 text; save it as CSV in UTF-8") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _result(
    path: Path,
    line: int,
    row: Mapping[str | None, str | None],
    objective: str,
    scalars: Sequence[str],
    metrics: Sequence[str],
) -> PastResult:
    if None in row or None in row.values():
        raise UsageError(f"{path}: line {line} has another number of cells than the line of names")
    cells = {name: value.strip() for name, value in row.items() if name is not None and value is not None}
    found = dict(_numbers(path, line, cells, metrics))
    state = _state(path, line, cells.get(_STATE, ""))
    if state is TrialState.COMPLETED and not math.isfinite(found.get(objective, math.nan)):
        raise UsageError(
            f"{path}: line {line} has no {objective}, which the study is ranked by; leave the line out, or add a "
            "column state that says diverged or failed"
        )
    values = {name: cells[name] for name in scalars if cells[name]}
    return PastResult(line=line, layout=cells[_LAYOUT], values=values, metrics=found, state=state)


def _numbers(path: Path, line: int, cells: Mapping[str, str], metrics: Sequence[str]) -> Iterator[tuple[str, float]]:
    for name in metrics:
        if text := cells.get(name, ""):
            try:
                yield name, float(text)
            except ValueError:
                raise UsageError(f"{path}: line {line}: {name} must be a number, got {quoted(text)}") from None


def _state(path: Path, line: int, text: str) -> TrialState:
    try:
        return TrialState(text or TrialState.COMPLETED)
    except ValueError:
        raise UsageError(
            f"{path}: line {line}: state must be {', '.join(TrialState)} or empty, got {quoted(text)}"
        ) from None
