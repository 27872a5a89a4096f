"""Which completed trial is best."""

from growlab.errors import NotFound
from growlab.preparation.fronts import is_eligible
from growlab.preparation.remaining import n_unfinished
from growlab.records import TrialState
from growlab.storage import Store, StudyRow, TrialRow
from growlab.suggest import command


def best_trials(store: Store, study_row: StudyRow) -> list[TrialRow]:
    """Rank completed trials by the study's objective, the best first; ties go to the lower number, as in the table.

    Those whose results were told have no model, and are left out, as are those beyond a constraint. Raises NotFound
    when there is none.
    """
    metric, may_be_best = study_row.study.objective.metric, is_eligible(store, study_row)
    completed = [trial for trial in store.trials(study_row.id) if trial.state is TrialState.COMPLETED]
    values = {
        trial.number: (value, trial)
        for trial in completed
        if not trial.was_told and (value := getattr(trial, metric)) is not None and may_be_best(trial)
    }
    if not values and completed and study_row.study.constraints:
        name, n = study_row.study.name, len(completed)
        raise NotFound(f"none of the {n} completed trials of study {name!r} is known to hold all its constraints")
    if not values:
        raise NotFound(_none_completed(store, study_row))
    return [values[number][1] for number in sorted(values, key=lambda number: (values[number][0], number))]


def _none_completed(store: Store, study_row: StudyRow) -> str:
    name, counts = study_row.study.name, store.counts(study_row.id)
    there = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "it has none at all"
    if not n_unfinished(store, study_row):
        see = command("report", name, options=store.options)
        return f"study {name!r} is done, and none of its trials completed ({there}); see why: {see}"
    return f"study {name!r} has no completed trial yet ({there}); run: {command('worker', name, options=store.options)}"
