"""Growlab's samplers in anybody's Optuna study, over the parameters of a space (growlab.search.parameters).

    space = api.read_study("quickstart")  # or a LayoutSpace
    study = optuna.create_study(sampler=LayoutSampler(space))

    def objective(trial):
        layout = suggest_layout(trial, space)
        ...

The objective may ask for parameters of its own beside them: `independent_sampler` suggests those.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from growlab import records
from growlab.domains import Value
from growlab.errors import UsageError
from growlab.kinds import KINDS, Kind, complete
from growlab.layout import Layout, parse
from growlab.metrics import Costs
from growlab.records import PastTrial
from growlab.samplers import SAMPLERS
from growlab.scalar import with_defaults
from growlab.search.configuration import Configuration
from growlab.search.limits import LIMITS, Limits
from growlab.search.menu import Menu
from growlab.search.optuna.distributions import from_optuna, parameter_distribution, suggested, to_optuna
from growlab.search.parameters import ParameterSpace, Values
from growlab.search.sampling import Ask, sampler_options
from growlab.search.sampling import suggested as suggested_by
from growlab.search.space import check_layouts
from growlab.seeds import derived_seed
from growlab.specs import BudgetSpec, DataSpec
from growlab.study import LayoutSpace, Objective, Study
from growlab.study.sampler_section import read_sampler

Space = Study | LayoutSpace  # a study's scalars that are searched belong to its space


def suggest_layout(trial: optuna.Trial, space: Space, *, kinds: Mapping[str, Kind] = KINDS) -> Layout:
    """A layout of the space, every option written out, whatever the study's sampler is.

    Asks for the parameters that act, by `suggest_categorical` and its like. Raises LayoutError and its kin for a space
    that nothing can be drawn from.
    """
    known = _parameters(space, kinds)
    values = suggested(trial, [parameter for parameter in known.parameters if not parameter.is_scalar])
    return known.configuration(values).layout


def suggest_scalars(trial: optuna.Trial, space: Study, *, kinds: Mapping[str, Kind] = KINDS) -> dict[str, Value]:
    """A value for every scalar that the study searches and that acts, by full name: train.lr."""
    return suggested(trial, [parameter for parameter in _parameters(space, kinds).parameters if parameter.is_scalar])


def rough_size(layout: Layout) -> int:
    """A number that grows with a layout as its parameters do."""
    return layout.depth * layout.d_model**2


class LayoutSampler(BaseSampler):
    """A sampler of growlab's by its name, `model` unless said, with its options, in an Optuna study of any objectives.

    Failed trials teach it what fails. Layouts to start with come first, those that lie in the space. `seed` and a
    trial's number decide all that is random. `measure` counts a layout's parameters, which layouts.max_params needs:

        LayoutSampler(space, measure=lambda layout: growlab.model.cost.count_params(layout, vocab_size))

    Raises UsageError, or one of its kin, for a space or a sampler that cannot be asked.
    """

    def __init__(
        self,
        space: Space,
        *,
        sampler: str = "model",
        options: Mapping[str, Value] | None = None,
        seed: int | None = None,
        measure: Callable[[Layout], int] = rough_size,
        independent_sampler: BaseSampler | None = None,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self._seed = random.randrange(2**31) if seed is None else seed
        self._independent = independent_sampler or TPESampler(seed=self._seed % 2**32)
        self._space = _parameters(space, kinds)
        self._distributions = {known.name: parameter_distribution(known) for known in self._space.parameters}
        self._study = _with_sampler(_as_study(space), sampler, options or {}, self._space)
        self._limit = Limits(study=self._study, kinds=kinds, measure=measure)
        self._read: dict[tuple[str, int], PastTrial] = {}  # finished trials, by the name of their study and number
        if limits := [key for key in LIMITS if getattr(self._study.layouts, key)]:
            knows = measure is not rough_size if limits == ["max_params"] else isinstance(measure, Costs)
            if not knows:
                raise UsageError(
                    f"layouts.{limits[-1]} needs a measure: LayoutSampler(space, measure=growlab.model.cost.Costs(N)), "
                    "with the size N of the vocabulary"
                )

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self._distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        suggestion = suggested_by(self._ask(study, trial))
        setting = self._space.setting(Configuration(suggestion.draw.layout, suggestion.params))
        if setting is None:
            raise UsageError(
                f"sampler {self._study.sampler.name} suggests {suggestion.draw.layout}, which is not in the space"
            )
        return {
            known.name: to_optuna(known, setting[known.name])
            for known in self._space.parameters
            if known.name in setting
        }

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Of the other sampler alone: a trial's number is seed enough."""
        self._independent.reseed_rng()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._independent.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._independent.after_trial(study, trial, state, values)

    # ---- the past of the study --------------------------------------------------------------------------------

    def _ask(self, study: optuna.Study, trial: FrozenTrial) -> Ask:
        name, signs = study.study_name, [-1 if each is StudyDirection.MAXIMIZE else 1 for each in study.directions]
        others = [known for known in study.get_trials(deepcopy=False) if known.number != trial.number]
        past = [self._read.get((name, known.number)) or self._past(known, signs) for known in others]
        self._read = {(name, known.number): known for known in past if known.state.is_final}
        behind_the_first = (Objective(metric=f"objective_{at}") for at in range(1, len(signs)))
        return Ask(
            study=replace(self._study, objectives=(Objective(), *behind_the_first)),
            past=past,
            number=trial.number,
            seed=derived_seed(self._seed, trial.number, "proposal"),
            menu=self._space.menu,
            limit=self._limit,
        )

    def _past(self, trial: FrozenTrial, signs: Sequence[int]) -> PastTrial:
        """A trial as growlab knows it; one of which the space says nothing has no layout, as a damaged row has none.

        A pruned trial has reached what it reported last.
        """
        found = self._configuration(trial)
        is_known = trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values is not None
        values = tuple(sign * value for sign, value in zip(signs, trial.values or (), strict=False)) if is_known else ()
        return PastTrial(
            number=trial.number,
            state=_STATES[trial.state] if values or not trial.state.is_finished() else _FAILED,
            layout=str(found.layout) if found else "",
            params=dict(found.params) if found else {},
            value=values[0] if values else None,
            values=values if len(signs) > 1 else (),
        )

    def _configuration(self, trial: FrozenTrial) -> Configuration | None:
        """None where a parameter of the layout is missing, or was suggested from other values."""
        values: Values = {}
        for known in self._space.parameters:
            if not known.acts(values):
                continue
            if trial.distributions.get(known.name) == self._distributions[known.name]:
                values[known.name] = from_optuna(known, trial.params[known.name])
            elif not known.is_scalar:
                return None
        return self._space.configuration(values)


_FAILED = records.TrialState.FAILED
_STATES = {
    TrialState.COMPLETE: records.TrialState.COMPLETED,
    TrialState.PRUNED: records.TrialState.COMPLETED,
    TrialState.FAIL: _FAILED,
    TrialState.RUNNING: records.TrialState.RUNNING,
    TrialState.WAITING: records.TrialState.QUEUED,
}


def _parameters(space: Space, kinds: Mapping[str, Kind]) -> ParameterSpace:
    if not kinds:
        raise UsageError("no block kind is loaded; call growlab.plugins.load_plugins() first, as api.read_study does")
    study = _as_study(space)
    check_layouts(study.layouts, kinds)
    return ParameterSpace(Menu(study.layouts, kinds), study.scalars())


def _as_study(space: Space) -> Study:
    """The study itself, without repeats, its trials judged by Optuna's value; of layouts one that searches no more."""
    if isinstance(space, Study):
        return replace(space, repeats=1, objectives=(Objective(),), constraints=())
    return Study(
        name="optuna",
        data=with_defaults(DataSpec),
        layouts=space,
        budget=BudgetSpec(unit="steps", amount=1),
        n_trials=1,
        train={},
        growth={},
        sampler=read_sampler({}),
    )


def _with_sampler(study: Study, name: str, options: Mapping[str, Value], space: ParameterSpace) -> Study:
    start_with = tuple(text for text in study.layouts.start_with if _is_inside(text, space))
    study = replace(
        study,
        layouts=replace(study.layouts, start_with=start_with),
        sampler=replace(read_sampler({"name": name, **options}), start_with=study.sampler.start_with),
    )
    found = sampler_options(study)
    if not found.proposes:
        raise UsageError(f"sampler {name} proposes nothing; ask another one of {', '.join(SAMPLERS)}")
    found.check(study)
    return study


def _is_inside(text: str, space: ParameterSpace) -> bool:
    return space.menu.contains(complete(parse(text), space.menu.kinds))
