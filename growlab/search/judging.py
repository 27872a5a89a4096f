"""Trials by all that their study judges them by: what was recorded of them, and what their layouts tell.

A metric that a layout alone tells is computed here, never read: of a completed trial from the layout that it ended
with, of every other one from the largest that it becomes. So candidates that nobody has trained are judged alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from growlab.domains import Value
from growlab.errors import LayoutError, UnknownName
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.metrics import tells
from growlab.records import PastTrial, TrialState
from growlab.search.kept import Kept
from growlab.search.limits import Limits
from growlab.study import Constraint, Objective, Study


def judged(limit: Limits, past: Sequence[PastTrial]) -> Sequence[PastTrial]:
    """The past with the value, all values and the feasibility of each trial, as the study of `limit` has them.

    A trial that is not completed, or of which an objective is not known, has no values; what its layout tells is among
    the metrics of all. A function of the past.
    """
    study = limit.study
    if len(study.objectives) == 1 and not study.constraints:
        key = study.objective.key
        return [
            trial
            if not trial.metrics or trial.metrics.get(key) == trial.value
            else replace(trial, value=_value(trial, key))
            for trial in past
        ]
    told = told_of(study)
    made_of = study.layouts, study.scalars(), told, id(limit.kinds), limit.measure
    amounts = _AMOUNTS.get(repr(made_of), partial(_Amounts, limit))
    return [_judged(study, trial, amounts.of(trial)) for trial in past]


def told_of(study: Study) -> list[Objective | Constraint]:
    """The objectives and constraints that a layout alone tells, one for each metric."""
    return list({judged.key: judged for judged in study.judged if tells(judged.metric)}.values())


def told_by(limit: Limits, layout: Layout, params: Mapping[str, Value], *, ended: bool = False) -> dict[str, float]:
    """What the layout of a trial with these scalars tells, by the metrics' keys; `ended`: it is the last one."""
    if not (told := told_of(limit.study)):
        return {}
    limit = limit.at(params)
    last = layout if ended else limit.largest(layout)
    return {judged.key: float(limit.amount(judged, last)) for judged in told}


def with_values(study: Study, past: Sequence[PastTrial]) -> Sequence[PastTrial]:
    """The past with all values of those that have a value of the first objective and whose layouts tell the rest.

    So has what is expected of a trial that waits at a rung.
    """
    if len(study.objectives) == 1:
        return past

    def valued(trial: PastTrial) -> PastTrial:
        if trial.values or trial.value is None:
            return trial
        return replace(trial, values=study.values_of({**trial.metrics, study.objective.key: trial.value}))

    return [valued(trial) for trial in past]


def told_objectives(limit: Limits, past: Sequence[PastTrial]) -> dict[int, tuple[float, ...]]:
    """The objectives behind the first that layouts tell, lower is better, by trial; none of a damaged row."""
    told = [objective for objective in limit.study.objectives[1:] if tells(objective.metric)]
    if not told:
        return {}
    known = [(trial.number, trial.metrics) for trial in judged(limit, past)]
    return {
        number: tuple(objective.lower_is_better(metrics[objective.key]) for objective in told)
        for number, metrics in known
        if all(objective.key in metrics for objective in told)
    }


def _value(trial: PastTrial, key: str) -> float | None:
    """What was recorded, or what the trial was made with, where nothing was."""
    return trial.metrics.get(key) if trial.metrics else trial.value


def _judged(study: Study, trial: PastTrial, told: Mapping[str, float]) -> PastTrial:
    metrics = {**trial.metrics, **told}
    if trial.state is TrialState.STOPPED:  # its value is none of a result, but what a result is expected from
        return replace(trial, metrics=metrics, values=(), feasible=True)
    if trial.state is not TrialState.COMPLETED:
        return replace(trial, metrics=metrics, value=None, values=(), feasible=True)
    value = _value(trial, study.objective.key)
    known = metrics if value is None else {**metrics, study.objective.key: value}
    return replace(trial, metrics=known, value=value, values=study.values_of(known), feasible=study.is_feasible(known))


class _Amounts:
    """What the layouts of a study's trials tell."""

    def __init__(self, limit: Limits) -> None:
        self._limit = limit
        self._known: dict[int, tuple[object, dict[str, float]]] = {}

    def of(self, trial: PastTrial) -> Mapping[str, float]:
        """The amounts by the metrics' keys; none of a damaged row."""
        made_of = trial.layout, trial.layout_end, trial.params
        known = self._known.get(trial.number)
        if known is None or known[0] != made_of:
            known = self._known[trial.number] = made_of, self._amounts(trial)
        return known[1]

    def _amounts(self, trial: PastTrial) -> dict[str, float]:
        try:
            layout = complete(parse(trial.layout_end or trial.layout), self._limit.kinds)
            return told_by(self._limit, layout, trial.params, ended=bool(trial.layout_end))
        except (LayoutError, UnknownName):
            return {}


_AMOUNTS: Kept[_Amounts] = Kept(4)
