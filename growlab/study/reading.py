"""The sections of a study, from what YAML or JSON made of them.

Unknown keys, wrong types and values out of range are SpecErrors that name the path of the key, what was got and what
was expected.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from growlab.domains import (
    Choice,
    Domain,
    Fixed,
    Range,
    admits,
    corners,
    in_quotes,
    read_domain,
    sort_of,
    value_type,
    write_domain,
)
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.rungs import Rungs
from growlab.scalar import Scalar, before_of, default_values, defaults_of, scalars_of
from growlab.specs import BUDGET_UNITS, BudgetSpec, DataSpec, StageSpec, TrainSpec
from growlab.stopping import StopRules
from growlab.study.checking import are_missing, as_list, refuse_unknown, require_mapping, validated
from growlab.study.growth_section import SILENT, flat_growth, growth_scalar, read_growth
from growlab.study.limits_section import STUDY, read_limits, trial_part, with_n_trials
from growlab.study.objectives_section import SECTIONS as JUDGING
from growlab.study.objectives_section import read_constraints, read_objectives
from growlab.study.paths import HUB
from growlab.study.sampler_section import read_sampler
from growlab.study.study import LayoutSpace, Study

_SECTIONS = (
    "name",
    "seed",
    "n_trials",
    "repeats",
    "data",
    "curriculum",
    "layouts",
    "train",
    "growth",
    "budget",
    "rungs",
    "stop",
    "stop_when",
    *JUDGING,
    "sampler",
)


def study_from_mapping(raw: Mapping[str, Any]) -> Study:
    """The study that a YAML file or a stored JSON mapping describes. Raises SpecError."""
    if "arms" in raw:
        raise SpecError("arms: this is an ablation, not a study; run it with growlab ablate FILE")
    refuse_unknown("", raw, _SECTIONS)
    raw = with_n_trials(raw)
    refuse_missing(raw)
    train = _domains("train", raw.get("train", {}), TrainSpec)
    growth = read_growth(raw.get("growth", SILENT))
    sampler = read_sampler(raw.get("sampler", {}))
    return Study(
        name=_text("name", raw["name"]),
        seed=validated("seed", raw.get("seed", 0), int),
        n_trials=positive("n_trials", raw["n_trials"]),
        repeats=positive("repeats", raw.get("repeats", 1)),
        data=_data(raw.get("data", {})),
        layouts=validated("layouts", with_lists(raw["layouts"]), LayoutSpace),
        train=train,
        growth=growth,
        budget=_budget(trial_part(raw["budget"])),
        limits=read_limits(raw),
        objectives=read_objectives(raw),
        constraints=read_constraints(raw),
        rungs=read_rungs(raw.get("rungs")),
        stop=read_stop(raw.get("stop")),
        sampler=replace(sampler, start_with=_starts(sampler.start_with, train, growth)),
        curriculum=_curriculum(raw.get("curriculum", [])),
    )


def read_rungs(raw: Any) -> Rungs | None:
    """The section rungs: keys, or true for all defaults; none where a study is silent, or says false."""
    if raw is None or raw is False:
        return None
    return validated("rungs", {} if raw is True else raw, Rungs)


def read_stop(raw: Any) -> StopRules | None:
    """The section stop: rules by name, each with keys, or true for all its defaults; none where a study is silent.

    A rule that is false is none.
    """
    if raw is None or raw is False:
        return None
    refuse_unknown("stop.", raw, [each.name for each in fields(StopRules)])
    rules = {name: {} if rule is True else rule for name, rule in raw.items() if rule is not None and rule is not False}
    return validated("stop", rules, StopRules)


def _text(key: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise SpecError(f"{key}: must be text, got {sort_of(raw)}{in_quotes(key, raw)}")
    return raw


def refuse_missing(raw: Mapping[str, Any]) -> None:
    """Raises SpecError with all that a study must say and this one does not."""
    layouts = raw.get("layouts")
    if isinstance(layouts, Mapping):  # before what is missing: it may be there under another name
        refuse_unknown("layouts.", layouts, (each.name for each in fields(LayoutSpace)))
    missing = [key for key in ("name", "n_trials", "budget", "layouts") if key not in raw]
    if isinstance(layouts, Mapping):
        missing += [f"layouts.{key}" for key in ("blocks", "d_model", "depth") if key not in layouts]
    if missing:
        raise SpecError(are_missing(missing))


def _domains(section: str, raw: Any, spec: type[Any]) -> dict[str, Domain]:
    """The section's domains, defaults filled in, each tried out in the spec at its extreme values."""
    known = scalars_of(spec)
    refuse_unknown(f"{section}.", raw, known)
    domains = defaults_of(spec)
    for key, value in raw.items():
        domains[key] = read_domain(f"{section}.{key}", value, known[key].type, known[key].search)
    first = {key: corners(domain)[0] for key, domain in domains.items()}
    for key, domain in domains.items():
        for corner in corners(domain):
            spec(**{**first, key: corner})
    return domains


def scalar_named(name: str) -> Scalar | None:
    """What is declared of a value of train or growth by its full name, train.lr; None where nothing is."""
    section, _, key = name.partition(".")
    return scalars_of(TrainSpec).get(key) if section == "train" else growth_scalar(key)


def _starts(
    raw: Mapping[str, Mapping[str, Any]], train: Mapping[str, Domain], growth: Mapping[str, Domain]
) -> dict[str, dict[str, Any]]:
    """sampler.start_with, each value of its key's kind and one that the search could draw, or whose key is fixed."""
    key, sections = "sampler.start_with", {"train": train, "growth": growth}
    refuse_unknown(f"{key}.", raw, sections)
    starts: dict[str, dict[str, Any]] = {}
    for section, values in raw.items():
        domains = sections[section]
        values = flat_growth(values, domains) if section == "growth" else values
        refuse_unknown(f"{key}.{section}.", values, domains)
        starts[section] = {
            name: read_value(f"{key}.{section}.{name}", value, domains[name]) for name, value in values.items()
        }
    return starts


def read_value(key: str, raw: Any, domain: Domain) -> Any:
    """One value of a domain: that which is fixed may have any of its type. Raises SpecError."""
    read = read_domain(key, raw, value_type(domain), None)
    if not isinstance(read, Fixed):
        raise SpecError(f"{key}: must be a single value, got {quoted(raw)}")
    if not isinstance(domain, Fixed) and not admits(domain, read.value):
        raise SpecError(f"{key}: must be one that the search may draw, of {write_domain(domain)}, got {read.value!r}")
    return read.value


def _data(raw: Any) -> DataSpec:
    """The data section, defaults filled in. `source: hf:owner/name` is source and path."""
    raw = require_mapping("data", raw)
    source, colon, path = str(raw.get("source")).partition(":")
    if source == HUB and colon:
        if raw.get("path"):
            raise SpecError(f"data.path: is already said in data.source {raw['source']!r}, got {raw['path']!r}")
        raw = {**raw, "source": source, "path": path}
    refuse_unknown("data.", raw, scalars_of(DataSpec))
    # what was recorded before there was a dtype held ids of two bytes throughout
    silent = before_of(DataSpec) if raw.get("sha256") else {}
    return validated("data", default_values(DataSpec) | silent | dict(raw), DataSpec)


def _curriculum(raw: Any) -> tuple[StageSpec, ...]:
    """The stages, each with its defaults: the study's own data, as plastic as the layout has it."""
    if not isinstance(raw, list):
        raise SpecError(f"curriculum: must be a list of stages such as {{until: 0.15, path: a.txt}}, got {raw!r}")
    return tuple(
        validated(key, {**default_values(StageSpec), **require_mapping(key, stage)}, StageSpec)
        for key, stage in ((f"curriculum[{at}]", stage) for at, stage in enumerate(raw))
    )


def _budget(raw: Any) -> BudgetSpec:
    refuse_unknown("budget.", raw, (*BUDGET_UNITS, STUDY))
    if len(raw) != 1 or STUDY in raw:
        raise SpecError(f"budget: needs exactly one of {', '.join(BUDGET_UNITS)}, got {', '.join(raw) or 'none'}")
    [(unit, amount)] = raw.items()
    return BudgetSpec(unit=unit, amount=positive(f"budget.{unit}", amount))


def trial_budget(raw: Any) -> Any:
    """{unit: tokens, amount: 2000000000}, also for {tokens: 2e9} as in a study; what is neither is left as it is."""
    if isinstance(raw, Mapping) and "amount" in raw:
        return {**raw, "amount": positive("budget.amount", raw["amount"])}
    if isinstance(raw, Mapping) and set(raw) <= set(BUDGET_UNITS):
        return asdict(_budget(raw))
    return raw


def positive(key: str, raw: Any) -> int:
    """A whole number from 1, also written as 2e9."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 1:
        raise SpecError(f"{key}: must be a whole number of at least 1, got {raw!r}")
    return raw


def with_lists(raw: Any) -> Any:
    """A single value where a list of choices is meant: d_model: 64, kernel: 4, a kind without options.

    A limit may be written as 8e9.
    """
    if not isinstance(raw, dict):
        return raw
    raw = {key: _whole(value) if str(key).startswith("max_") else value for key, value in raw.items()}
    raw.update({key: as_list(raw[key]) for key in ("d_model", "front", "head") if key in raw})
    if "depth" in raw:
        raw["depth"] = _read_depth(raw["depth"])
    if isinstance(raw.get("from_layer"), dict):
        raw["from_layer"] = {key: as_list(value) for key, value in raw["from_layer"].items()}
    if isinstance(raw.get("blocks"), list) and all(isinstance(kind, str) for kind in raw["blocks"]):
        raw["blocks"] = dict.fromkeys(raw["blocks"])
    if isinstance(raw.get("blocks"), dict):
        raw["blocks"] = {kind: _optionswith_lists(options) for kind, options in raw["blocks"].items()}
    return raw


def _whole(raw: Any) -> Any:
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


def _read_depth(raw: Any) -> list[Any]:
    """Fewest and most blocks: 6 | {low: 2, high: 8}, or [2, 8] as it was written at first."""
    key = "layouts.depth"
    match read_domain(key, raw, int, None):
        case Fixed(value=value):
            return [value, value]
        case Range(low=low, high=high, log=False, best_guess=None):
            return [low, high]
        case Choice(values=(low, high)):
            return [low, high]
        case Range(log=log):
            raise SpecError(f"{key}.{'log' if log else 'best_guess'}: depths are drawn evenly; leave it out")
        case _:
            raise SpecError(f"{key}: must be a number or a range such as {{low: 2, high: 8}}, got {raw!r}")


def write_depth(depth: tuple[int, int]) -> Any:
    low, high = depth
    return low if low == high else {"low": low, "high": high}


def _optionswith_lists(options: Any) -> Any:
    if not isinstance(options, dict):
        return {} if options is None else options
    return {name: as_list(value) for name, value in options.items()}
