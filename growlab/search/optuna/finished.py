"""The finished trials of a stored study as a study of Optuna's, for what Optuna makes of one: importance, plots."""

import math
from collections.abc import Mapping, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from growlab import records
from growlab.kinds import KINDS, Kind
from growlab.records import PastTrial
from growlab.search.configuration import configuration_of
from growlab.search.menu import Menu
from growlab.search.optuna.distributions import parameter_distribution, to_optuna
from growlab.search.optuna.memory import quiet
from growlab.search.parameters import ParameterSpace
from growlab.search.past import loss_of
from growlab.study import Objective, Study


def optuna_study_of(
    study: Study, past: Sequence[PastTrial], kinds: Mapping[str, Kind] = KINDS
) -> tuple[optuna.Study, list[int]]:
    """A study in memory, and the numbers of the finished trials that are not of the study's space.

    What diverged or failed, or lacks an objective, is a FAIL; what a stop rule ended is PRUNED, with what it came to at
    marks, in FLOPs, as intermediate values; growlab's number and layout are the user attributes
    `trial` and `layout`. Of a choice between numbers Optuna has their ranks, of several objectives what `past` has
    among its metrics.
    """
    objectives = study.objectives
    space = ParameterSpace(Menu(study.layouts, kinds), study.scalars())
    finished = sorted((trial for trial in past if trial.state.is_final), key=lambda trial: trial.number)
    made = {trial.number: _trial(trial, objectives, space, kinds) for trial in finished}
    with quiet():
        directions = [_DIRECTIONS[objective.direction] for objective in objectives]
        found = optuna.create_study(study_name=study.name, directions=directions)
    found.add_trials([trial for trial in made.values() if trial is not None])
    return found, [number for number, trial in made.items() if trial is None]


_DIRECTIONS = {"minimise": StudyDirection.MINIMIZE, "maximise": StudyDirection.MAXIMIZE}


def _trial(
    trial: PastTrial, objectives: Sequence[Objective], space: ParameterSpace, kinds: Mapping[str, Kind]
) -> FrozenTrial | None:
    configuration = configuration_of(trial, space.scalars, kinds)
    setting = None if configuration is None else space.setting(configuration)
    if setting is None:
        return None
    known = [parameter for parameter in space.parameters if parameter.name in setting]
    known_values = trial.metrics if len(objectives) > 1 else {objectives[0].key: loss_of(trial)}
    values = [known_values.get(objective.key, math.inf) for objective in objectives]
    is_known = trial.state is records.TrialState.COMPLETED and all(map(math.isfinite, values))
    is_stopped = trial.state is records.TrialState.STOPPED
    return create_trial(
        state=TrialState.COMPLETE if is_known else TrialState.PRUNED if is_stopped else TrialState.FAIL,
        values=values if is_known else None,
        params={parameter.name: to_optuna(parameter, setting[parameter.name]) for parameter in known},
        distributions={parameter.name: parameter_distribution(parameter) for parameter in known},
        intermediate_values={reading.mark: reading.val_loss for reading in trial.readings} if is_stopped else {},
        user_attrs={"trial": trial.number, "layout": trial.layout},
    )
