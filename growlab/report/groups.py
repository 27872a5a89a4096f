"""What a value does to the objective: trials grouped by it, each group's mean, and differences on the same seeds.

The seed is what is repeated: trials of a group that share one count as their mean, and differences are taken seed by
seed. Groups that share no seed have no pairs, and so no difference and no verdict: what else differs between their
trials is not cancelled by anything. Everything is of the `val` split, as the objective is.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from growlab.errors import UnknownName, UsageError, require
from growlab.finite import finite
from growlab.records import TrialState
from growlab.report.trial_values import TrialValue, full_key, is_meant, value_text, values_of, varying
from growlab.statistics.gains import loss_gains
from growlab.statistics.intervals import estimate
from growlab.statistics.verdict import Decision, Rule, decide
from growlab.storage import Store, StudyRow, TrialRow

NO_PAIRS = "no pairs: no seed is shared"


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """The trials of one value. None: not known, or not asked for."""

    value: TrialValue
    n: int  # completed, with a finite objective: of these are the means
    n_diverged: int
    n_failed: int  # by an error, or as their model saw what it should predict
    n_open: int  # queued or running
    mean: float | None  # of the objective, over seeds
    low: float | None  # Student's 95 % interval of it; one seed has none
    high: float | None
    flops: float | None  # of a trial, mean
    elapsed_s: float | None
    n_stopped: int  # by a stop rule of the study, before they came to a result
    n_pairs: int | None = None  # seeds that this group and the one that it is compared with share
    difference: float | None = None  # of the objective on them, this - that, mean; negative where this is better
    difference_low: float | None = None
    difference_high: float | None = None
    verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class Groups:
    studies: tuple[str, ...]
    key: str  # in full
    objective: str
    rows: tuple[GroupRow, ...]
    against: str | None  # the value that the others are compared with, as it is shown
    margin: float  # in the objective's unit
    vary: tuple[str, ...]  # keys beside the grouped one of which trials have several values
    shares_seeds: bool  # a group has several trials on one seed


@dataclass(frozen=True)
class _Trial:
    row: TrialRow
    values: Mapping[str, TrialValue]
    loss: float | None  # the objective of a completed one


def read_groups(
    store: Store, studies: Sequence[StudyRow], key: str, *, against: str | None = None, margin: float
) -> Groups:
    """Group the trials of the studies by a key, such as train.lr or its last part, and compare with one value.

    Rows are in the order of the values where these are numbers, else the lowest mean comes first. The comparisons that
    are asked for together are one family of the verdict. Raises UnknownName for a key or a value that no trial has,
    UsageError for an ambiguous key and for studies that minimise different things.
    """
    require(math.isfinite(margin) and margin > 0, "the margin", "a number above 0", f"{margin:g}")
    objective = _objective(studies)
    trials = [_read(trial, study.study.name, objective) for study in studies for trial in store.trials(study.id)]
    known = dict.fromkeys(name for trial in trials for name in trial.values)
    if not trials:
        raise UsageError(f"no trials to group yet, in {', '.join(study.study.name for study in studies)}")
    key = full_key(key, known)
    groups: dict[TrialValue, list[_Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.values.get(key), []).append(trial)
    losses = {value: _by_seed(members) for value, members in groups.items()}
    baseline = None if against is None else _meant(against, key, groups)
    decisions = {} if against is None else _decisions(losses, baseline, Rule(margin=margin))
    rows = []
    for value, members in groups.items():
        compared = {} if against is None or value == baseline else _compared(decisions.get(repr(value)))
        rows.append(_row(value, members, losses[value], compared))
    finished = [trial for trial in trials if trial.loss is not None]
    return Groups(
        studies=tuple(study.study.name for study in studies),
        key=key,
        objective=objective,
        rows=tuple(sorted(rows, key=_order(rows))),
        against=None if against is None else value_text(baseline),
        margin=margin,
        vary=tuple(varying([trial.values for trial in finished], key)),
        shares_seeds=any(len(losses[value]) < row.n for value, row in zip(groups, rows, strict=True)),
    )


def _objective(studies: Sequence[StudyRow]) -> str:
    """What all of them minimise. Raises UsageError."""
    metrics = {study.study.name: study.study.objective.metric for study in studies}
    if len(set(metrics.values())) > 1:
        which = ", ".join(f"{name} {metric}" for name, metric in metrics.items())
        raise UsageError(f"studies that minimise different things have no common mean: {which}")
    return next(iter(metrics.values()))


def _read(trial: TrialRow, study: str, objective: str) -> _Trial:
    completed = trial.state is TrialState.COMPLETED
    return _Trial(trial, values_of(trial, study), finite(getattr(trial, objective)) if completed else None)


def _by_seed(members: Iterable[_Trial]) -> dict[int, float]:
    """The objective by trial seed; of several trials on one seed their mean."""
    losses: dict[int, list[float]] = {}
    for trial in members:
        if trial.loss is not None:
            losses.setdefault(trial.row.spec_mapping["seed"], []).append(trial.loss)
    return {seed: fmean(values) for seed, values in losses.items()}


def _meant(text: str, key: str, known: Iterable[TrialValue]) -> TrialValue:
    """The value that a person's word means. Raises UnknownName."""
    values = list(known)
    for value in values:
        if is_meant(text, value):
            return value
    raise UnknownName(f"value of {key}", text, map(value_text, values))


def _decisions(
    losses: Mapping[TrialValue, Mapping[int, float]], baseline: TrialValue, rule: Rule
) -> dict[str, Decision]:
    """A decision on every value that shares a seed with the baseline, by its repr: all of them one family."""
    gains = {
        repr(value): loss_gains(of_value, losses[baseline]) for value, of_value in losses.items() if value != baseline
    }
    return decide({name: values for name, values in gains.items() if values}, rule)


def _compared(decision: Decision | None) -> dict[str, float | int | str | None]:
    """The columns of a comparison. A gain is what was saved, a difference what was added."""
    if decision is None:
        return {"n_pairs": 0, "verdict": NO_PAIRS}
    shown = decision.shown
    return {
        "n_pairs": decision.n,
        "difference": -decision.gain.value,
        "difference_low": None if shown is None or shown.high is None else -shown.high,
        "difference_high": None if shown is None or shown.low is None else -shown.low,
        "verdict": decision.text(f"{decision.rule.margin:g}"),
    }


def _row(
    value: TrialValue,
    members: Sequence[_Trial],
    losses: Mapping[int, float],
    compared: Mapping[str, float | str | None],
) -> GroupRow:
    states = [trial.row.state for trial in members]
    finished = [trial.row for trial in members if trial.loss is not None]
    found = estimate(list(losses.values())) if losses else None
    return GroupRow(
        value=value,
        n=len(finished),
        n_diverged=states.count(TrialState.DIVERGED),
        n_failed=states.count(TrialState.FAILED) + states.count(TrialState.LEAK),
        n_open=sum(not state.is_final for state in states),
        n_stopped=states.count(TrialState.STOPPED),
        mean=found.mean if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        flops=_mean(trial.flops for trial in finished),
        elapsed_s=_mean(trial.elapsed_s for trial in finished),
        **compared,  # type: ignore[arg-type]  # fields by their names
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _order(rows: Sequence[GroupRow]) -> Callable[[GroupRow], tuple[bool, float, str]]:
    """By the value where every one is a number, so that an optimum is seen between its neighbours; else by the mean."""
    if all(isinstance(row.value, int | float) for row in rows):
        return lambda row: (False, float(row.value), "")  # type: ignore[arg-type]  # a number
    return lambda row: (row.mean is None, row.mean or 0.0, value_text(row.value))
