"""Reading a table of trainings (growlab.trainings) as one study understands it."""

import csv
import io
import json
import lzma
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from growlab.domains import Domain, Fixed, Value, admits, typed, value_type
from growlab.errors import LayoutError, SpecError, UnknownName, UsageError, did_you_mean, require
from growlab.escapes import first_line, quoted
from growlab.kinds import KINDS, complete
from growlab.layout import parse
from growlab.metrics import name_of, tells
from growlab.records import LOSSES, Loss, RungReading, TrialState
from growlab.study import Study
from growlab.study.checking import validated
from growlab.trainings import AT_SHARE, AT_STEP, FIXED, PACKED, Training

_MOST_BYTES = 256 * 2**20
_MOST_SECONDS = 1e12  # of a training: what is longer leaves no pace to reckon with
_STATES = [*(state for state in TrialState if state.is_final), TrialState.PAUSED]


@dataclass(frozen=True, kw_only=True)
class TableFile:
    trainings: Sequence[Training]  # of those that this study could have had
    notes: Sequence[str]  # on what was not read, and on what was left out


def read_table(path: Path, study: Study) -> TableFile:
    """Read the trainings that are of the study's space, layouts completed. Raises UsageError, with the line."""
    text = _text_of(path)
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in first_line(text) else ",")
    try:
        names, rows = list(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num} is no line of a table: {error}") from None
    if not rows:
        raise UsageError(f"{path}: has no line below that of the names; give a table of trainings")
    columns = Columns.of(names, study, f"{path}: ")
    columns.require_searched(study, f"{path}: ")
    trainings: list[Training] = []
    left_out = Counter[str]()
    for line, row in rows:
        if None in row or None in row.values():
            raise UsageError(f"{path}: line {line} has another number of cells than the line of names")
        where = f"{path}: line {line}: "
        cells = {name: value.strip() for name, value in row.items()}
        params = dict(_params(cells, columns, study.scalars(), where))
        if reason := _foreign(params, study.scalars()):
            left_out[reason] += 1
            continue
        searched = {name: value for name, value in params.items() if not isinstance(study.scalars()[name], Fixed)}
        trainings.append(training_of(cells, columns, _completed(cells["layout"], where), searched, where))
    if not trainings:
        reasons = "; ".join(f"{n} with {reason}" for reason, n in left_out.items())
        raise UsageError(
            f"{path}: none of {len(rows)} trainings is one that study {study.name!r} could have: {reasons}"
        )
    notes = [f"columns that are not read: {', '.join(columns.unread)}"] if columns.unread else []
    notes += [f"left out: {n} of {len(rows)} trainings, with {reason}" for reason, n in left_out.items()]
    return TableFile(trainings=trainings, notes=notes)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a table mean to a study, by their names."""

    scalars: Mapping[str, str]  # to full names
    loss: Loss  # that the study ranks by
    metrics: Sequence[str]  # that it judges by too, other than losses
    shares: Mapping[str, float]  # of a curve: to shares of the budget, which rise
    unread: Sequence[str]

    @classmethod
    def of(cls, names: Sequence[str], study: Study, where: str) -> "Columns":
        """Raises UsageError for columns that are missing, named twice or mean nothing."""
        if len(set(names)) < len(names):
            raise UsageError(f"{where}names a column twice: {quoted(', '.join(names))}")
        if missing := [name for name in ("layout", "flops") if name not in names]:
            raise UsageError(
                f"{where}needs the columns layout and flops; it lacks {' and '.join(missing)} "
                f"and has {quoted(', '.join(names)) if names else 'nothing'}"
            )
        shares = _shares(names, where)
        metric = study.loss
        if metric not in names and (metric == "bits_per_byte" or not shares):
            raise UsageError(f"{where}needs the column {metric}, which the study is ranked by")
        scalars = {name: full for name in names if (full := _full_name(name, study.scalars(), where))}
        metrics = [key for key in study.metrics if key not in LOSSES and not tells(name_of(key))]
        if missing := [key for key in metrics if key not in names]:
            raise UsageError(f"{where}needs the column {', '.join(missing)}, which the study is judged by")
        known = {*FIXED, *shares, *scalars, *metrics}
        unread = [name for name in names if name not in known]
        return cls(scalars=scalars, loss=metric, metrics=metrics, shares=shares, unread=unread)

    def require_searched(self, study: Study, where: str) -> None:
        """Raise UsageError for a scalar that the study searches and no column tells."""
        found = set(self.scalars.values())
        searched = [name for name, domain in study.scalars().items() if not isinstance(domain, Fixed)]
        if missing := [name for name in searched if name not in found]:
            example = missing[0]
            raise UsageError(
                f"{where}has no column for {', '.join(missing)}, which study {study.name!r} searches; add what it was, "
                f"or fix it in the study: --set {example}=VALUE"
            )


def _full_name(name: str, domains: Mapping[str, Domain], where: str) -> str | None:
    """The scalar that a column is of; None of a column that is of none. Raises UsageError."""
    if name in domains:
        return name
    if name.startswith(("train.", "growth.")):
        raise UsageError(f"{where}column {quoted(name)} is no scalar of a study.{did_you_mean(name, domains)}")
    possible = [full for full in domains if full.rpartition(".")[2] == name] if name not in FIXED else []
    searched = [full for full in possible if not isinstance(domains[full], Fixed)]
    if len(possible) > 1 and searched:
        raise UsageError(f"{where}column {name} may be {' or '.join(possible)}; name it in full")
    return possible[0] if len(possible) == 1 else None


def _shares(names: Sequence[str], where: str) -> dict[str, float]:
    """The columns of a curve, and the share of the budget that each is at."""
    steps = {name: int(name.removeprefix(AT_STEP)) for name in names if re.fullmatch(rf"{AT_STEP}[1-9]\d*", name)}
    shares = {name: step / max(steps.values()) for name, step in steps.items()}
    for name in names:
        if name.startswith(AT_SHARE):
            try:
                shares[name] = float(name.removeprefix(AT_SHARE))
            except ValueError:
                shares[name] = math.nan
            if not 0 < shares[name] <= 1:
                raise UsageError(f"{where}column {quoted(name)} must say a share of the budget, such as {AT_SHARE}0.25")
    return dict(sorted(shares.items(), key=lambda each: each[1]))


# ---- a row ---------------------------------------------------------------------------------------------------------


def training_of(
    cells: Mapping[str, str], columns: Columns, layout: str, params: Mapping[str, Value], where: str
) -> Training:
    """The training of a row, of which layout and scalars are read already. Raises UsageError; `where` begins it."""
    state = _state(cells.get("state", ""), where)
    curve = {share: loss for name, share in columns.shares.items() if (loss := _number(cells, name, where)) is not None}
    losses = {name: loss for name in LOSSES if (loss := _number(cells, name, where)) is not None}
    if state is TrialState.COMPLETED:
        losses = _with_curve(losses, curve)
        if columns.loss not in losses:
            raise UsageError(f"{where}came to its end and has no {columns.loss}, which the study is ranked by")
    flops = _number(cells, "flops", where) or 0.0
    if flops <= 0 and state in (TrialState.COMPLETED, TrialState.PAUSED):  # others may have failed before any
        raise UsageError(f"{where}flops must be a number greater than 0, got {quoted(cells.get('flops', ''))}")
    budget_flops = _number(cells, "budget_flops", where)
    if budget_flops is not None and round(budget_flops) <= 0:
        raise UsageError(f"{where}budget_flops must be a number greater than 0, got {quoted(cells['budget_flops'])}")
    if budget_flops is None:  # of one that did not come to its end: what it spent was its share that is known
        budget_flops = flops if state is TrialState.COMPLETED else flops / max(curve, default=1.0)
    seed = _number(cells, "seed", where, int)
    return Training(
        layout=layout,
        params=params,
        state=state,
        flops=round(flops),
        budget_flops=round(budget_flops),
        losses=losses,
        metrics={key: value for key in columns.metrics if (value := _number(cells, key, where)) is not None},
        layout_end=cells.get("layout_end", ""),
        curve=curve,
        readings=_readings(cells.get("readings", ""), where),
        seed=None if seed is None else int(seed),
        elapsed_s=_seconds(cells, where),
        peak_memory=_number(cells, "peak_memory", where),
    )


def _with_curve(losses: Mapping[Loss, float], curve: dict[float, float]) -> dict[Loss, float]:
    """The losses of a training that came to its end, what its curve says among them; and the curve to that end."""
    if "val_loss" in losses:
        curve.setdefault(1.0, losses["val_loss"])
    if not curve:
        return dict(losses)
    return {"val_loss": list(curve.values())[-1], "best_val_loss": min(curve.values()), **losses}


def _completed(text: str, where: str) -> str:
    try:
        return str(complete(parse(text), KINDS))
    except (LayoutError, UnknownName) as error:
        raise UsageError(f"{where}{error}") from None


def _params(
    cells: Mapping[str, str], columns: Columns, domains: Mapping[str, Domain], where: str
) -> Iterator[tuple[str, Value]]:
    for name, full in columns.scalars.items():
        if text := cells[name]:
            try:
                yield full, typed(f"{where}{name}", _plain(text), value_type(domains[full]))
            except SpecError as error:
                raise UsageError(str(error)) from None


def _foreign(params: Mapping[str, Value], domains: Mapping[str, Domain]) -> str:
    """The scalar with a value that no trial of the study has; '' where there is none."""
    foreign = [name for name, value in params.items() if not admits(domains[name], value)]
    return f"a {foreign[0]} that the study does not have" if foreign else ""


def _plain(text: str) -> Value:
    """What a cell says: a truth, a number, else a word."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _number(cells: Mapping[str, str], name: str, where: str, read: type[int] | type[float] = float) -> float | None:
    """The number in a cell; None in an empty one, and for what is not finite."""
    if not (text := cells.get(name, "")):
        return None
    try:
        value = read(text)
        return value if math.isfinite(value) else None
    except (ValueError, OverflowError):
        raise UsageError(f"{where}{name} must be a number, got {quoted(text)}") from None


def _seconds(cells: Mapping[str, str], where: str) -> float | None:
    """How long a training took; None where nobody says it."""
    took_s = _number(cells, "elapsed_s", where)
    if took_s is not None and not 0 <= took_s <= _MOST_SECONDS:
        raise UsageError(f"{where}elapsed_s must be between 0 and {_MOST_SECONDS:g}, got {quoted(cells['elapsed_s'])}")
    return took_s


def _state(text: str, where: str) -> TrialState:
    state = text or TrialState.COMPLETED
    if state not in _STATES:
        raise UsageError(f"{where}state must be {', '.join(_STATES)} or empty, got {quoted(text)}")
    return TrialState(state)


def _readings(text: str, where: str) -> tuple[RungReading, ...]:
    try:
        readings = validated("readings", json.loads(text or "[]"), tuple[RungReading, ...])
        for reading in readings:
            require(min(reading.mark, reading.flops) > 0, "readings.flops", "greater than 0", reading)
            require(math.isfinite(reading.val_loss), "readings.val_loss", "a number", reading)
    except (ValueError, UsageError) as error:
        raise UsageError(f"{where}readings must be what growlab study export-table writes: {error}") from None
    return readings


def _text_of(path: Path) -> str:
    if not path.is_file():
        raise UsageError(
            f"no file {quoted(str(path))}; give a table of trainings, as growlab study export-table writes"
        )
    try:
        with lzma.open(path) if path.suffix == PACKED else path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{path}: has more than {_MOST_BYTES:,} bytes, the most of a table of trainings")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is no UTF-8 text; save it as TSV in UTF-8") from None
