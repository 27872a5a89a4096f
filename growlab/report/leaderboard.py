"""Which trial is best: the trials of a study as rows, in order."""

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from growlab.domains import Value
from growlab.errors import UnknownName
from growlab.finite import finite
from growlab.preparation.fronts import Front
from growlab.records import LOSSES, TrialState
from growlab.report.columns import SORTABLE, LeaderboardRow
from growlab.report.overfitting import read_overfitting
from growlab.report.trial_values import TrialValue
from growlab.storage import Store, TrialRow


def read_leaderboard(
    store: Store, study_id: int, sort_by: str = "val_loss", front: Front | None = None
) -> list[LeaderboardRow]:
    """The leaderboard of a study with the marks of what its trials' losses tell, and of who is on its front."""
    trials = store.trials(study_id)
    return leaderboard(trials, sort_by, read_overfitting(store, trials), front)


def leaderboard(
    trials: Sequence[TrialRow],
    sort_by: str = "val_loss",
    overfitting: Mapping[int, int] = MappingProxyType({}),
    front: Front | None = None,
) -> list[LeaderboardRow]:
    """Sort the trials of a study: completed ones by `sort_by`, best first; then those that wait at rungs, the highest
    rung first, by their losses there; then running ones; then those that a rule stopped, by their losses; then the
    rest.

    Lower is better, but of an objective of the `front` that is maximised. Ties go to the lower number. Ranks are by the
    loss that is sorted by, or by val_loss: sorting by size shows where the good small ones are. What is beyond a
    constraint has none, and comes behind what is not.
    `overfitting` gives the step since which a trial does. Raises UnknownName for anything that is not in SORTABLE, and
    no metric of the front.
    """
    signs = {objective.key: objective.lower_is_better(1.0) for objective in front.objectives} if front else {}
    if sort_by not in SORTABLE and sort_by not in signs:
        raise UnknownName("metric", sort_by, [*SORTABLE, *(key for key in signs if key not in SORTABLE)])
    ranks = _ranks(trials, sort_by if sort_by in LOSSES else "val_loss", front.infeasible if front else ())
    rows = [_row(trial, ranks.get(trial.number), overfitting.get(trial.number), front) for trial in trials]
    return sorted(rows, key=lambda row: _sort_key(row, sort_by, signs.get(sort_by, 1.0)))


def best_by_best_val_loss(rows: Sequence[LeaderboardRow]) -> LeaderboardRow | None:
    """The completed trial whose loss was lowest at any evaluation, where it is not the first by rank."""
    completed = [row for row in rows if row.state is TrialState.COMPLETED and row.best_val_loss is not None]
    completed = [row for row in completed if row.feasible is not False]
    best = min(completed, key=lambda row: (row.best_val_loss, row.trial), default=None)
    return None if best is None or best.rank == 1 else best


def _ranks(trials: Sequence[TrialRow], loss: str, infeasible: Collection[int]) -> dict[int, int]:
    """The rank, from 1, by trial number."""
    ranked = [trial for trial in trials if trial.state is TrialState.COMPLETED and trial.number not in infeasible]
    values = {trial.number: value for trial in ranked if (value := finite(getattr(trial, loss))) is not None}
    ordered = sorted(values, key=lambda number: (values[number], number))
    return {number: at for at, number in enumerate(ordered, start=1)}


def _row(trial: TrialRow, rank: int | None, overfits_since: int | None, front: Front | None) -> LeaderboardRow:
    is_judged = front is not None and trial.number in front.values
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
        front=trial.number in front.trials if front and is_judged else None,
        feasible=trial.number not in front.infeasible if front and is_judged and front.has_constraints else None,
        metrics=front.values.get(trial.number, {}) if front else {},
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


def _sort_key(row: LeaderboardRow, sort_by: str, sign: float) -> tuple[int, int, float, int]:
    value = row.metrics.get(sort_by) if sort_by not in SORTABLE else getattr(row, sort_by)
    if row.state is TrialState.COMPLETED:
        return (int(row.feasible is False), 0, math.inf if value is None else sign * value, row.trial)
    if row.rung is not None:
        return (2, -row.rung, math.inf if row.val_loss is None else row.val_loss, row.trial)
    if row.state is TrialState.STOPPED:
        return (4, 0, math.inf if row.val_loss is None else row.val_loss, row.trial)
    return (3 if row.state is TrialState.RUNNING else 5, 0, 0, row.trial)
