"""What completed trials came to in all that their study judges them by, and which of them no other one is better than.

Light: of what a layout alone tells it knows what was recorded; growlab.preparation.layout_metrics computes the rest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from growlab.errors import NotFound, UsageError
from growlab.escapes import quoted
from growlab.finite import finite
from growlab.metrics import name_of, tells
from growlab.preparation.telling import Tell
from growlab.records import LOSSES, TrialState
from growlab.storage import Store, StudyRow, TrialRow
from growlab.study import Objective, Study

_MOST_NAMED = 20  # trials in a line

Values = Mapping[int, Mapping[str, float]]  # of completed trials by number: metrics by their keys, as they are


@dataclass(frozen=True, kw_only=True)
class Front:
    """The Pareto front of a study's completed trials: those that hold every constraint and that none dominates."""

    objectives: tuple[Objective, ...]
    has_constraints: bool
    values: Values  # what is known of every completed trial, constraints included
    trials: tuple[int, ...]  # on the front, the best by the first objective first
    infeasible: tuple[int, ...]  # all of whose objectives are known, and that break a constraint, or may
    unknown: tuple[int, ...]  # of which an objective is not known
    hypervolume: float  # in the product of the objectives' units, within the reference point
    reference: tuple[float, ...]  # in the study's order, as they are; () where no trial has all values

    @property
    def lines(self) -> list[str]:
        """What a person should know of it, a line each."""
        names = ", ".join(str(objective) for objective in self.objectives)
        lines = [f"front of {names}: {_trials(self.trials)}"]
        if self.trials:
            at = zip(self.objectives, self.reference, strict=True)
            within = ", ".join(f"{objective.key} {value:.6g}" for objective, value in at)
            lines.append(f"hypervolume {self.hypervolume:.6g} within {within}")
        if self.infeasible:
            lines.append(f"beyond a constraint, and on no front: {_trials(self.infeasible)}")
        if self.unknown:
            lines.append(f"not all objectives are known, so on no front: {_trials(self.unknown)}")
        return lines


def is_judged_by_several(study: Study) -> bool:
    """Whether there is a front to speak of: several objectives, or a constraint that not all trials hold."""
    return len(study.judged) > 1


def no_front(study: str) -> UsageError:
    """The error that a study is judged by one number alone."""
    return UsageError(
        f"study {quoted(study)} has one objective and no constraint, so there is no front, but a best trial; for "
        "another: growlab study set STUDY 'objectives=[val_loss, params]'"
    )


def recorded_front(store: Store, row: StudyRow) -> Front | None:
    """Read the front of a study by what is recorded alone; None of a study that judges by one number alone."""
    return front_of(row.study, read_values(store, row)) if is_judged_by_several(row.study) else None


def read_values(store: Store, row: StudyRow) -> dict[int, dict[str, float]]:
    """Read what is recorded of a study's completed trials by the metrics that it judges them by."""
    of_rows = [key for key in row.study.metrics if key not in LOSSES and key != "params"]
    recorded = store.recorded(row.id, of_rows) if of_rows else {}
    completed = [trial for trial in store.trials(row.id) if trial.state is TrialState.COMPLETED]
    return {
        trial.number: {**_of_result(trial, row.study.metrics), **recorded.get(trial.number, {})} for trial in completed
    }


def is_eligible(store: Store, row: StudyRow) -> Callable[[TrialRow], bool]:
    """Whether a completed trial may be called the study's best: every one, where no constraint is not known to hold."""
    if not row.study.constraints:
        return lambda trial: True
    values = read_values(store, row)
    return lambda trial: row.study.is_feasible(values.get(trial.number, {}))


def untold(study: Study, values: Values) -> list[int]:
    """The trials of which something is not known that their layouts alone tell."""
    keys = [key for key in study.metrics if tells(name_of(key))]
    return [number for number, known in values.items() if any(key not in known for key in keys)]


def front_of(study: Study, values: Values) -> Front:
    """The front of trials with these values."""
    import numpy as np

    from growlab.statistics.pareto import hypervolume, on_front, reference_point

    known = {number: found for number, metrics in values.items() if (found := study.values_of(metrics))}
    feasible = [number for number in known if study.is_feasible(values[number])]
    front: Sequence[int] = []
    volume, reference = 0.0, np.zeros(0)
    if known:
        given = [objective.reference_below for objective in study.objectives]
        reference = reference_point(np.array(list(known.values())), given)
    if feasible:
        points = np.array([known[number] for number in feasible])
        front = [number for number, is_on in zip(feasible, on_front(points), strict=True) if is_on]
        volume = hypervolume(points, reference)
    at_reference = zip(study.objectives, reference.tolist(), strict=False)
    return Front(
        objectives=study.objectives,
        has_constraints=bool(study.constraints),
        values=values,
        trials=tuple(sorted(front, key=lambda number: (known[number], number))),
        infeasible=tuple(sorted(known.keys() - set(feasible))),
        unknown=tuple(sorted(values.keys() - known.keys())),
        hypervolume=volume,
        reference=tuple(objective.lower_is_better(value) for objective, value in at_reference),
    )


def front_with_models(store: Store, row: StudyRow, front: Front | None, tell: Tell) -> list[int]:
    """The trials of the front that were trained here, of which there are models. Raises UsageError, NotFound."""
    if front is None:
        raise no_front(row.study.name)
    told = {trial.number for trial in store.trials(row.id) if trial.was_told} & set(front.trials)
    if told:
        tell(f"left out, as they were told and not trained: {_trials(sorted(told))}")
    if not (numbers := [number for number in front.trials if number not in told]):
        raise NotFound(f"study {row.study.name!r} has no trial on its front that was trained; {'; '.join(front.lines)}")
    return numbers


def _of_result(trial: TrialRow, keys: Iterable[str]) -> dict[str, float]:
    columns = {"params": "n_params"} | {loss: loss for loss in LOSSES}
    found = {key: finite(getattr(trial, columns[key])) for key in keys if key in columns}
    return {key: value for key, value in found.items() if value is not None}


def _trials(numbers: Sequence[int]) -> str:
    if not numbers:
        return "no trial yet"
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:_MOST_NAMED]))}{more}"
