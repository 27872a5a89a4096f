"""Which trial is best: the trials of a study as rows, in order."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from growlab.domains import Value
from growlab.errors import UnknownName
from growlab.finite import finite
from growlab.records import LOSSES, TrialState
from growlab.report.columns import SORTABLE, LeaderboardRow
from growlab.report.overfitting import read_overfitting
from growlab.report.trial_values import TrialValue
from growlab.storage import Store, TrialRow


def read_leaderboard(store: Store, study_id: int, sort_by: str = "val_loss") -> list[LeaderboardRow]:
    """The leaderboard of a study with the marks of what its trials' losses tell."""
    trials = store.trials(study_id)
    return leaderboard(trials, sort_by, read_overfitting(store, trials))


def leaderboard(
    trials: Sequence[TrialRow], sort_by: str = "val_loss", overfitting: Mapping[int, int] = MappingProxyType({})
) -> list[LeaderboardRow]:
    """Sort the trials of a study: completed ones by `sort_by`, lowest first; then those that wait at rungs, the highest
    rung first, by their losses there; then running ones; then the rest.

    Ties go to the lower number. Ranks are by the loss that is sorted by, or by val_loss: sorting by size shows where
    the good small ones are.
    `overfitting` gives the step since which a trial does. Raises UnknownName for anything that is not in SORTABLE.
    """
    if sort_by not in SORTABLE:
        raise UnknownName("metric", sort_by, SORTABLE)
    ranks = _ranks(trials, sort_by if sort_by in LOSSES else "val_loss")
    rows = [_row(trial, ranks.get(trial.number), overfitting.get(trial.number)) for trial in trials]
    return sorted(rows, key=lambda row: _sort_key(row, sort_by))


def best_by_best_val_loss(rows: Sequence[LeaderboardRow]) -> LeaderboardRow | None:
    """The completed trial whose loss was lowest at any evaluation, where it is not the first by rank."""
    completed = [row for row in rows if row.state is TrialState.COMPLETED and row.best_val_loss is not None]
    best = min(completed, key=lambda row: (row.best_val_loss, row.trial), default=None)
    return None if best is None or best.rank == 1 else best


def _ranks(trials: Sequence[TrialRow], loss: str) -> dict[int, int]:
    """The rank, from 1, by trial number."""
    values = {
        trial.number: value
        for trial in trials
        if trial.state is TrialState.COMPLETED and (value := finite(getattr(trial, loss))) is not None
    }
    ordered = sorted(values, key=lambda number: (values[number], number))
    return {number: at for at, number in enumerate(ordered, start=1)}


def _row(trial: TrialRow, rank: int | None, overfits_since: int | None) -> LeaderboardRow:
    return LeaderboardRow(
        rank=rank,
        trial=trial.number,
        layout=trial.layout,
        depth_start=trial.depth_start,
        depth_end=trial.depth_end,
        n_params=trial.n_params,
        val_loss=finite(_val_loss(trial)),
        best_val_loss=finite(trial.best_val_loss),
        bits_per_byte=finite(trial.bits_per_byte),
        flops=trial.flops,
        tokens=trial.tokens,
        elapsed_s=trial.elapsed_s,
        state=trial.state,
        engine=trial.engine or None,
        accuracy=trial.newest_accuracy,
        overfits_since=overfits_since,
        rung=trial.may_pass + 1 if trial.state is TrialState.PAUSED else None,
        rung_share=_rung_share(trial),
        told=trial.was_told or None,
        searched=_searched(trial),
    )


def _val_loss(trial: TrialRow) -> float | None:
    if trial.state is TrialState.PAUSED:
        return trial.paused_val_loss
    return trial.val_loss if trial.state.is_final else trial.newest_val_loss


def _rung_share(trial: TrialRow) -> float | None:
    """The share of its budget at which a paused trial waits; None of others, and of a damaged row."""
    match trial.spec_mapping:
        case {"budget": {"amount": int(budget)}} if trial.paused_mark is not None and budget > 0:
            return trial.paused_mark / budget
    return None


def _searched(trial: TrialRow) -> dict[str, TrialValue]:
    """The scalars of the trial by full name, without what an ablation says of its cells; none of a damaged row."""
    if not isinstance(trial.params, Mapping):
        return {}
    return {
        name: value
        for name, value in trial.params.items()
        if "." in name and (value is None or isinstance(value, Value))
    }


def _sort_key(row: LeaderboardRow, sort_by: str) -> tuple[int, int, float, int]:
    value = getattr(row, sort_by)
    if row.state is TrialState.COMPLETED:
        return (0, 0, math.inf if value is None else value, row.trial)
    if row.rung is not None:
        return (1, -row.rung, math.inf if row.val_loss is None else row.val_loss, row.trial)
    return (2 if row.state is TrialState.RUNNING else 3, 0, 0, row.trial)
