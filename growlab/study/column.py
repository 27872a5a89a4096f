"""Studies and trial specs as JSON columns.

growlab wrote them itself, so that what a person's file is asked key by key is not asked again. A damaged row is still a
SpecError with the path of the damage.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from growlab.domains import Domain, Fixed, domain_of, write_domain
from growlab.errors import SpecError
from growlab.scalar import before_of, scalars_of
from growlab.specs import BudgetSpec, DataSpec, GrowthSpec, StageSpec, TrainSpec, TrialSpec
from growlab.study.checking import are_missing, refuse_unknown, require_mapping, validated
from growlab.study.growth_section import flat_growth, growth_of_row, stored_growth, write_growth, written_growth
from growlab.study.limits_section import read_limits, trial_part, write_limits
from growlab.study.objectives_section import stored_constraints, stored_objectives, write_judging
from growlab.study.reading import positive, read_rungs, read_stop, refuse_missing, trial_budget, with_lists, write_depth
from growlab.study.sampler_section import stored_sampler, write_sampler
from growlab.study.study import LayoutSpace, Study

_YOUNGER_IN: Mapping[str, type[Any]] = {"data": DataSpec, "train": TrainSpec, "growth": GrowthSpec}
_YOUNGER_SECTIONS: Mapping[str, Any] = {"curriculum": []}  # than the first rows, and what a row without them meant


# ---- a study -------------------------------------------------------------------------------------------------


def study_to_mapping(study: Study) -> dict[str, Any]:
    """Write a study out, every default included, as plain JSON types; also what a study file may say."""
    mapping = {name: getattr(study, name) for name in ("name", "seed", "n_trials", "repeats")}
    for name in ("data", "layouts"):
        mapping[name] = _plain(asdict(getattr(study, name)))
    mapping["layouts"]["depth"] = write_depth(study.layouts.depth)
    mapping |= write_judging(study.objectives, study.constraints)
    mapping["train"] = {key: write_domain(domain) for key, domain in study.train.items()}
    mapping["growth"] = write_growth(study.growth)
    mapping["sampler"] = _plain(write_sampler(study.sampler))
    of_budget, at_the_top = write_limits(study.limits)
    mapping["budget"] = {study.budget.unit: study.budget.amount, **of_budget}
    mapping |= at_the_top
    if study.rungs is not None:
        mapping["rungs"] = asdict(study.rungs)
    if study.stop is not None:
        mapping["stop"] = {name: rule for name, rule in asdict(study.stop).items() if rule is not None}
    mapping["curriculum"] = [asdict(stage) for stage in study.curriculum]
    return mapping


def study_from_column(raw: Mapping[str, Any]) -> Study:
    """Read what study_to_mapping wrote, now or in an earlier version. Raises SpecError for a damaged row."""
    refuse_missing(require_mapping("study", raw))
    growth, sampler = stored_growth(raw.get("growth")), stored_sampler(raw.get("sampler"))
    [(unit, amount)] = trial_part(require_mapping("budget", raw["budget"])).items()
    return Study(
        name=raw["name"],
        seed=raw["seed"],
        n_trials=positive("n_trials", raw["n_trials"]),
        repeats=positive("repeats", raw.get("repeats", 1)),
        data=validated("data", before_of(DataSpec) | dict(require_mapping("data", raw.get("data"))), DataSpec),
        layouts=validated("layouts", with_lists(raw["layouts"]), LayoutSpace),
        train=_train(raw.get("train")),
        growth=growth,
        budget=validated("budget", {"unit": unit, "amount": amount}, BudgetSpec),
        limits=read_limits(raw),
        objectives=stored_objectives(raw),
        constraints=stored_constraints(raw),
        rungs=read_rungs(raw.get("rungs")),
        stop=read_stop(raw.get("stop")),
        sampler=replace(sampler, start_with=_starts(sampler.start_with, growth)),
        curriculum=validated("curriculum", raw.get("curriculum", []), tuple[StageSpec, ...]),
    )


def _train(raw: object) -> dict[str, Domain]:
    """The domains of a section whose every key was written out when the row was."""
    known = scalars_of(TrainSpec)
    refuse_unknown("train.", raw, known)
    domains: dict[str, Domain] = {key: Fixed(value=value) for key, value in before_of(TrainSpec).items()}
    domains |= {key: domain_of(f"train.{key}", value) for key, value in require_mapping("train", raw).items()}
    if missing := [f"train.{key}" for key in known if key not in domains]:
        raise SpecError(are_missing(missing))
    return domains


def _starts(starts: Mapping[str, Mapping[str, Any]], growth: Mapping[str, Domain]) -> dict[str, Mapping[str, Any]]:
    """sampler.start_with, its keys of growth as they stand now."""
    return {key: flat_growth(values, growth) if key == "growth" else values for key, values in starts.items()}


def _plain(value: Any) -> Any:
    """Lists in place of tuples, which JSON and YAML have not."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value


# ---- a trial -------------------------------------------------------------------------------------------------


def trial_spec_to_mapping(spec: TrialSpec) -> dict[str, Any]:
    """Write a spec out as plain JSON types."""
    stages = [asdict(stage) for stage in spec.curriculum]
    return asdict(spec) | {"growth": written_growth(spec.growth), "curriculum": stages}


def trial_spec_from_mapping(raw: Mapping[str, Any]) -> TrialSpec:
    """Read what trial_spec_to_mapping wrote, now or in an earlier version.

    Raises SpecError for a row that another growlab, or a person, wrote differently.
    """
    require_mapping("trial", raw)
    if isinstance(raw.get("growth"), Mapping):
        raw = {**raw, "growth": growth_of_row(raw["growth"])}
    for section, spec in _YOUNGER_IN.items():
        if isinstance(raw.get(section), Mapping):
            raw = {**raw, section: {**before_of(spec), **raw[section]}}
    return validated("trial", {**_YOUNGER_SECTIONS, **raw}, TrialSpec)


def trial_spec_from_words(raw: Mapping[str, Any]) -> TrialSpec:
    """Read a file that a person may have changed: its budget also as {tokens: 2e9}. Raises SpecError."""
    return trial_spec_from_mapping({**raw, "budget": trial_budget(raw.get("budget"))})
