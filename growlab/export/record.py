"""What is on record of one completed trial: all that an export says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from growlab.errors import NotFound, UsageError
from growlab.export.ranking import best_trials
from growlab.finite import finite
from growlab.preparation.confirming import confirmed_number, name_of_confirmation
from growlab.records import READ_AT, TEST, Decision, GrowthEvent, TrialState
from growlab.specs import TrialSpec
from growlab.statistics.intervals import Estimate, estimate
from growlab.storage import Store, StudyRow, TrialRow


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The trial again, on seeds that chose nothing."""

    study: str  # that holds these trainings
    objective: Estimate
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    study_row: StudyRow
    trial: TrialRow
    spec: TrialSpec
    decision: Decision
    growth_events: Sequence[GrowthEvent]
    rank: int | None  # among completed trials by the study's objective, from 1; None of one beyond a constraint
    n_completed: int
    test: Mapping[str, float]  # loss, bits_per_byte, …: of the test split, where somebody has read it
    confirmation: Confirmation | None
    versions: Mapping[str, Any]  # of what trained it, as its last worker registered
    trained_on: str  # the last worker's device

    @property
    def name(self) -> str:
        return f"{self.study_row.study.name}-trial-{self.trial.number}"


def read_record(store: Store, study_row: StudyRow, number: int | None) -> TrialRecord:
    """Read a trial's record, of the best completed one for None.

    Raises NotFound for no such trial and for none that is completed, UsageError for one that is not completed.
    """
    trial = _chosen(store, study_row, number)
    attempts = store.attempts(trial.id)
    ranked = _ranked(store, study_row)
    return TrialRecord(
        study_row=study_row,
        trial=trial,
        spec=trial.spec,
        decision=store.decision(trial.id),
        growth_events=store.growth_events(trial.id),
        rank=ranked.index(trial.number) + 1 if trial.number in ranked else None,
        n_completed=store.counts(study_row.id)[TrialState.COMPLETED],
        test={row.name: row.value for row in store.metrics(trial.id, TEST) if row.name != READ_AT},
        confirmation=_confirmation(store, study_row, trial.number),
        versions=attempts[-1].versions if attempts else {},
        trained_on=attempts[-1].device if attempts else "",
    )


def _ranked(store: Store, study_row: StudyRow) -> list[int]:
    """Numbers of completed trials, the best first; none where all are beyond a constraint."""
    try:
        return [row.number for row in best_trials(store, study_row)]
    except NotFound:
        return []


def _chosen(store: Store, study_row: StudyRow, number: int | None) -> TrialRow:
    if number is None:
        return best_trials(store, study_row)[0]
    trial = store.trial(study_row.id, number)
    if trial.was_told:
        raise UsageError(f"trial {number} was told, not trained: it has no model to export")
    if trial.state is not TrialState.COMPLETED:
        raise UsageError(f"trial {number} is {trial.state}, and only a completed trial has a model to export")
    return trial


def _confirmation(store: Store, study_row: StudyRow, number: int) -> Confirmation | None:
    """What trainings on fresh seeds say of a trial, where a study of them is there and some completed."""
    name, objective = name_of_confirmation(study_row.study.name), study_row.study.objective.metric
    if name not in {summary.name for summary in store.studies()}:
        return None
    values: dict[int, float] = {}
    for trial in store.trials(store.study(name).id):
        value = finite(getattr(trial, objective)) if trial.state is TrialState.COMPLETED else None
        if value is not None and confirmed_number(store, trial) == number:
            values[trial.spec_mapping["seed"]] = value
    return Confirmation(study=name, objective=estimate(list(values.values())), seeds=tuple(values)) if values else None
