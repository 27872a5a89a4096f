"""Which trial is best: the trials of a study as rows, in order."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple, get_args

from growlab.domains import Value
from growlab.finite import finite
from growlab.frozen import made
from growlab.preparation.fronts import Front
from growlab.records import LOSSES, TrialState
from growlab.report.columns import OWN, Column, LeaderboardRow, column_named, known_columns
from growlab.report.overfitting import read_overfitting
from growlab.report.trial_values import TrialValue
from growlab.storage import Store, TrialRow


def read_leaderboard(
    store: Store, study_id: int, sort_by: str = "val_loss", front: Front | None = None, scalars: Iterable[str] = ()
) -> list[LeaderboardRow]:
    """The leaderboard of a study with the marks of what its trials' losses tell, and of who is on its front."""
    return leaderboard(store.trials(study_id), sort_by, read_marks(store, study_id), front, scalars)


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What a trial's rows tell of it besides its result, by its number."""

    overfits_since: Mapping[int, int] = field(default_factory=dict)  # steps, of those trials that overfit
    growths: Mapping[int, int] | None = None  # how often they grew, of those that did; None: nobody looked


NO_MARKS = Marks()


def read_marks(store: Store, study_id: int) -> Marks:
    """Read what the rows of a study's trials tell of them."""
    return Marks(overfits_since=read_overfitting(store, study_id), growths=store.n_growths(study_id))


def leaderboard(
    trials: Sequence[TrialRow],
    sort_by: str = "val_loss",
    marks: Marks = NO_MARKS,
    front: Front | None = None,
    scalars: Iterable[str] = (),
) -> list[LeaderboardRow]:
    """Sort the trials of a study: completed ones by `sort_by`, best first; then those that wait at rungs, the highest
    rung first, by their losses there; then running ones; then those that a rule stopped, by their losses; then the
    rest.

    `sort_by` is any column, with a minus before it for the other direction; `scalars` are those that trials may have
    and none has yet. Lower is better, but of an objective of the `front` that is maximised. Ties go to the lower
    number, and what has no value comes last. Ranks are by the loss that is sorted by, or by val_loss: sorting by size
    shows where the good small ones are. What is beyond a constraint has none, and comes behind what is not. Raises
    UnknownName for a column that there is not.
    """
    named = sort_by.removeprefix("-")
    ranks = _ranks(trials, named if named in LOSSES else "val_loss", front.infeasible if front else ())
    judged = _judged(front) if front else {}
    rows = [_row(trial, ranks.get(trial.number), marks, judged.get(trial.number, _UNJUDGED)) for trial in trials]
    objectives = front.objectives if front else ()
    column = OWN.get(named) or column_named(named, known_columns(rows, [each.key for each in objectives], scalars))
    is_maximised = any(objective.key == column.name and objective.direction == "maximise" for objective in objectives)
    return _sorted(rows, column, descending=sort_by.startswith("-") != is_maximised)


def best_by_best_val_loss(rows: Sequence[LeaderboardRow]) -> LeaderboardRow | None:
    """The completed trial whose loss was lowest at any evaluation, where it is not the first by rank."""
    completed = [row for row in rows if row.state is TrialState.COMPLETED and row.best_val_loss is not None]
    completed = [row for row in completed if row.feasible is not False]
    best = min(completed, key=lambda row: (row.best_val_loss, row.trial), default=None)
    return None if best is None or best.rank == 1 else best


def _ranks(trials: Sequence[TrialRow], loss: str, infeasible: Collection[int]) -> dict[int, int]:
    """The rank, from 1, by trial number."""
    beyond = frozenset(infeasible)
    ranked = [trial for trial in trials if trial.state is TrialState.COMPLETED and trial.number not in beyond]
    values = {trial.number: value for trial in ranked if (value := finite(getattr(trial, loss))) is not None}
    ordered = sorted(values, key=lambda number: (values[number], number))
    return {number: at for at, number in enumerate(ordered, start=1)}


class _Judged(NamedTuple):
    front: bool | None = None
    feasible: bool | None = None
    metrics: Mapping[str, float] = MappingProxyType({})


_UNJUDGED = _Judged()


def _judged(front: Front) -> dict[int, _Judged]:
    """What a study's objectives and constraints say of completed trials, by number."""
    on_front, infeasible = frozenset(front.trials), frozenset(front.infeasible)
    return {
        number: _Judged(number in on_front, number not in infeasible if front.has_constraints else None, metrics)
        for number, metrics in front.values.items()
    }


def _row(trial: TrialRow, rank: int | None, marks: Marks, judged: _Judged) -> LeaderboardRow:
    values: dict[str, Any] = {
        "rank": rank,
        "trial": trial.number,
        "layout": trial.layout,
        "depth_start": trial.depth_start,
        "depth_end": trial.depth_end,
        "n_params": trial.n_params,
        "val_loss": finite(_val_loss(trial)),
        "best_val_loss": finite(trial.best_val_loss),
        "bits_per_byte": finite(trial.bits_per_byte),
        "flops": trial.flops,
        "tokens": trial.tokens,
        "elapsed_s": trial.elapsed_s,
        "state": trial.state,
        "engine": trial.engine or None,
        "accuracy": trial.newest_accuracy,
        "overfits_since": marks.overfits_since.get(trial.number),
        "rung": trial.may_pass + 1 if trial.state is TrialState.PAUSED else None,
        "rung_share": _rung_share(trial),
        "told": trial.was_told or None,
        "front": judged.front,
        "feasible": judged.feasible,
        "metrics": judged.metrics,
        "searched": _searched(trial),
        "seed": trial.seed,
        "growths": None if marks.growths is None else marks.growths.get(trial.number, 0),
        "layout_end": trial.layout_end,
    }
    return made(LeaderboardRow, values)


def _val_loss(trial: TrialRow) -> float | None:
    if trial.state is TrialState.PAUSED:
        return trial.paused_val_loss
    return trial.val_loss if trial.state.is_final else trial.newest_val_loss


def _rung_share(trial: TrialRow) -> float | None:
    """The share of its budget at which a paused trial waits; None of others, and of a damaged row."""
    return trial.paused_mark / trial.paused_budget if trial.paused_mark is not None and trial.paused_budget else None


def _searched(trial: TrialRow) -> dict[str, TrialValue]:
    """The scalars of the trial by full name, without what an ablation says of its cells; none of a damaged row."""
    if not isinstance(trial.params, Mapping):
        return {}
    return {name: value for name, value in trial.params.items() if "." in name and isinstance(value, _KNOWN)}


_KNOWN = (*get_args(Value), NoneType)  # types of a scalar's value


def _sorted(rows: Sequence[LeaderboardRow], column: Column, *, descending: bool) -> list[LeaderboardRow]:
    by_number, get = sorted(rows, key=lambda row: row.trial), column.getter
    known = [(_comparable(value), row) for row in by_number if (value := get(row)) is not None]
    by_value = sorted(known, key=lambda pair: pair[0], reverse=descending)
    unknown = [row for row in by_number if get(row) is None]
    return sorted([*(row for _, row in by_value), *unknown], key=_group)


def _comparable(value: TrialValue) -> tuple[bool, TrialValue]:
    """A value that can be compared with any other one of its column: numbers come before words."""
    return isinstance(value, str), value


def _group(row: LeaderboardRow) -> tuple[int, int, float, int]:
    """The place of a row's group among the groups; within one of completed trials rows stay as they are sorted."""
    if row.state is TrialState.COMPLETED:
        return (int(row.feasible is False), 0, 0, 0)
    if row.rung is not None:
        return (2, -row.rung, math.inf if row.val_loss is None else row.val_loss, row.trial)
    if row.state is TrialState.STOPPED:
        return (4, 0, math.inf if row.val_loss is None else row.val_loss, row.trial)
    return (3 if row.state is TrialState.RUNNING else 5, 0, 0, row.trial)
