"""What there is to gain: of one objective how far a candidate undercuts the best, of several the volume that it adds to
the front.

Where the best, or the front, lies is what the model expects of the trials there, not what they happened to come to. An
objective that a layout alone tells is known of any candidate; for every other one there is a model of its own.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from growlab.metrics import tells
from growlab.search.configuration import Configuration
from growlab.search.judging import told_by
from growlab.search.model.choice import WIDER, expected_improvement
from growlab.search.model.encoding import Array
from growlab.search.model.front import Axis, Exact, Normal, expected_gain
from growlab.search.model.outlook import LEAST, Outlook, Tried, look_ahead
from growlab.search.sampling import Ask
from growlab.statistics.pareto import ranks, reference_point


@dataclass(frozen=True)
class Best:
    """The aim of one objective: below the lowest value that is expected of any trial, or of any in `among`."""

    outlook: Outlook
    among: Collection[int] | None = None

    def prospects(self, asked: Sequence[Configuration]) -> tuple[Array, Array]:
        """The expected gain of each configuration that runs, and the probability that it does."""
        mean, sd, runs = self.outlook.predict(asked)
        best = float(self.outlook.expected[_places(self.outlook, self.among)].min())
        return expected_improvement(best, mean, WIDER * sd), runs

    def order(self, others: Sequence[Configuration] = ()) -> list[int]:
        """The places of the outlook's good trials, and of others behind them, by what is expected; equal ones as is."""
        expected = self.outlook.expected
        if others:
            expected = np.concatenate([expected, self.outlook.predict(others)[0]])
        found: list[int] = np.argsort(expected.round(9), kind="stable").tolist()
        return found


class Front:
    """The aim of several objectives: beyond the front of all trials, or of those in `among`."""

    def __init__(
        self, ask: Ask, outlook: Outlook, tried: Sequence[Tried], among: Collection[int] | None = None
    ) -> None:
        self._ask, self._objectives, self.outlook = ask, ask.study.objectives, outlook
        self._past = {trial.number: trial for trial in ask.past}
        self._models = self._models_of(tried)
        self._points = self._of_trials()
        given = [
            None if objective.reference is None else objective.lower_is_better(objective.reference)
            for objective in self._objectives
        ]
        self._reference = reference_point(self._points, given)
        self._front = self._points[_places(outlook, among)]

    def prospects(self, asked: Sequence[Configuration]) -> tuple[Array, Array]:
        """The volume that each configuration is expected to add where it runs, and the probability that it does."""
        axes, runs = self._axes(asked)
        return expected_gain(axes, self._front, self._reference), runs

    def order(self, others: Sequence[Configuration] = ()) -> list[int]:
        """The places of good trials, and of others behind them: those on the front first, then on the next one, …"""
        points = self._points
        if others:
            means = [axis.mean if isinstance(axis, Normal) else axis.value for axis in self._axes(others)[0]]
            points = np.concatenate([points, np.column_stack(means)])
        found: list[int] = np.lexsort((points[:, 0].round(9), ranks(points.round(9)))).tolist()
        return found

    def _axes(self, asked: Sequence[Configuration]) -> tuple[list[Axis], Array]:
        """What is known of each objective, and the probability that each configuration runs."""
        mean, sd, runs = self.outlook.predict(asked)
        axes: list[Axis] = [Normal(mean, WIDER * sd)]
        told = [told_by(self._ask.limit, each.layout, each.params) for each in asked]
        for objective, model in zip(self._objectives[1:], self._models[1:], strict=True):
            if model is None:
                values = [objective.lower_is_better(amounts[objective.key]) for amounts in told]
                axes.append(Exact(np.array(values)))
            else:
                mean, sd, _ = model.predict(asked)
                axes.append(Normal(mean, WIDER * sd))
        return axes, runs

    def _models_of(self, tried: Sequence[Tried]) -> list[Outlook | None]:
        """A model of each objective, None of one that a layout tells."""
        past, models = self._past, [self.outlook, *[None] * (len(self._objectives) - 1)]
        for at, objective in enumerate(self._objectives[1:], 1):
            if not tells(objective.metric):
                seen = [replace(each, value=_value(past[each.number].values, at, each), sd=0.0) for each in tried]
                models[at] = look_ahead(self.outlook.encoding, seen)
        return models

    def _of_trials(self) -> Array:
        """What is expected of each good trial, (n, objectives)."""
        columns = []
        for objective, model in zip(self._objectives, self._models, strict=True):
            if model is None:
                metrics = [self._past[trial.number].metrics for trial in self.outlook.good]
                columns.append(np.array([objective.lower_is_better(known[objective.key]) for known in metrics]))
            elif model is self.outlook:
                columns.append(model.expected)
            else:
                columns.append(model.predict([trial.configuration for trial in self.outlook.good])[0])
        return np.column_stack(columns)


Aim = Best | Front


def aim_of(ask: Ask, outlook: Outlook, tried: Sequence[Tried], among: Collection[int] | None = None) -> Aim:
    """What a study aims at; with `among` beyond what these trials have reached, if any of them is one to learn from."""
    several = len(ask.study.objectives) > 1 and _is_known(ask, outlook, tried)
    return Front(ask, outlook, tried, among) if several else Best(outlook, among)


def _is_known(ask: Ask, outlook: Outlook, tried: Sequence[Tried]) -> bool:
    """Whether there is enough of every objective to learn from."""
    past = {trial.number: trial for trial in ask.past}
    n_modelled = sum(bool(past[each.number].values) for each in tried)
    untold = [objective for objective in ask.study.objectives[1:] if not tells(objective.metric)]
    told = [objective.key for objective in ask.study.objectives if tells(objective.metric)]
    if any(key not in past[trial.number].metrics for trial in outlook.good for key in told):
        return False
    return not untold or n_modelled >= LEAST


def _value(values: Sequence[float], at: int, trial: Tried) -> float:
    """The value of an objective; of a trial that reached none what its first one says: inf, or nan while it runs."""
    return values[at] if values else (math.nan if math.isfinite(trial.value) else trial.value)


def _places(outlook: Outlook, among: Collection[int] | None) -> list[int]:
    every = range(len(outlook.good))
    if among is None:
        return list(every)
    return [at for at in every if outlook.good[at].number in among] or list(every)
