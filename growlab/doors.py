"""The two doors at which what a person or a database says is checked: a study's YAML and a JSON column.

Unknown keys, wrong types and values out of range are SpecErrors that name the file, the path of
the key, what was got and what was expected.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

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
    write_domain,
)
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.files import is_utf8, resolved
from growlab.home import from_home
from growlab.keys import hint
from growlab.scalar import before_of, default_values, defaults_of, scalars_of
from growlab.specs import BUDGET_UNITS, BudgetSpec, DataSpec, GrowthSpec, StageSpec, TrainSpec, TrialSpec
from growlab.study import SEARCHED, LayoutSpace, Objective, SamplerSpec, Study
from growlab.yaml_file import MAX_DEPTH, parse_yaml, read_yaml

T = TypeVar("T")
_SECTIONS = (
    "name",
    "seed",
    "n_trials",
    "data",
    "curriculum",
    "layouts",
    "train",
    "growth",
    "budget",
    "objective",
    "sampler",
)
_DATA_TEXTS = ("path", "sha256", "tokenizer_path", "tokenizer_sha256")  # as typed, though 12e3 looks like a number
_HUB = "hf"  # the source whose path is a name, not a file


# ---- a study's YAML ------------------------------------------------------------------------------------------


def read_study_file(path: Path, overrides: Iterable[str] = ()) -> Study:
    """Read a study, with `key.path=value` overrides applied. Relative data paths are meant from the file's folder.

    Raises SpecError, whose message begins with the file's name.
    """
    try:
        raw = read_yaml(path)
        apply_overrides(raw, overrides)
        study = study_from_mapping(raw)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    data, folder = study.data, path.parent
    if data.path and _is_path(data.source, "path"):
        data = replace(data, path=_absolute(folder, data.path))
    if data.tokenizer_path:
        data = replace(data, tokenizer_path=_absolute(folder, data.tokenizer_path))
    curriculum = study.curriculum
    if _is_path(data.source, "path"):
        curriculum = tuple(
            replace(stage, path=stage.path and _absolute(folder, stage.path)) for stage in study.curriculum
        )
    return replace(study, data=data, curriculum=curriculum)


def study_from_mapping(raw: Mapping[str, Any]) -> Study:
    """The study that a YAML file or a stored JSON mapping describes. Raises SpecError."""
    _refuse_unknown("", raw, _SECTIONS)
    _refuse_missing(raw)
    train = _domains("train", raw.get("train", {}), TrainSpec)
    growth = _domains("growth", raw.get("growth", {}), GrowthSpec)
    sampler = _validate("sampler", raw.get("sampler", {}), SamplerSpec)
    return Study(
        name=_text("name", raw["name"]),
        seed=_validate("seed", raw.get("seed", 0), int),
        n_trials=_positive("n_trials", raw["n_trials"]),
        data=_data(raw.get("data", {})),
        layouts=_validate("layouts", _with_lists(raw["layouts"]), LayoutSpace),
        train=train,
        growth=growth,
        budget=_budget(raw["budget"]),
        objective=_validate("objective", raw.get("objective", {}), Objective),
        sampler=replace(sampler, start_with=_starts(sampler.start_with, train, growth)),
        curriculum=_curriculum(raw.get("curriculum", [])),
    )


def study_to_mapping(study: Study) -> dict[str, Any]:
    """The inverse of study_from_mapping, every default written out; plain JSON types."""
    mapping = {name: getattr(study, name) for name in ("name", "seed", "n_trials")}
    for name in ("data", "layouts", "objective", "sampler"):
        mapping[name] = asdict(getattr(study, name))
    mapping["layouts"]["depth"] = _write_depth(study.layouts.depth)
    mapping["train"] = {key: write_domain(domain) for key, domain in study.train.items()}
    mapping["growth"] = {key: write_domain(domain) for key, domain in study.growth.items()}
    mapping["budget"] = {study.budget.unit: study.budget.amount}
    mapping["curriculum"] = [asdict(stage) for stage in study.curriculum]
    plain: dict[str, Any] = json.loads(json.dumps(mapping))
    return plain


# ---- a JSON column -------------------------------------------------------------------------------------------


def trial_spec_to_mapping(spec: TrialSpec) -> dict[str, Any]:
    return asdict(spec) | {"curriculum": [asdict(stage) for stage in spec.curriculum]}  # JSON has no tuples


_SPECS: Mapping[str, type[Any]] = {"data": DataSpec, "train": TrainSpec, "growth": GrowthSpec}
_YOUNGER_SECTIONS: Mapping[str, Any] = {"curriculum": []}  # than the first rows, and what a row without them meant


def trial_spec_from_mapping(raw: Mapping[str, Any]) -> TrialSpec:
    """Raises SpecError for a row that another growlab, or a person, wrote differently."""
    _require_mapping("trial", raw)
    for section, spec in _SPECS.items():
        if isinstance(raw.get(section), Mapping):
            raw = {**raw, section: {**before_of(spec), **raw[section]}}
    return _validate("trial", {**_YOUNGER_SECTIONS, **raw}, TrialSpec)


def trial_spec_from_words(raw: Mapping[str, Any]) -> TrialSpec:
    """The spec of a file that a person may have changed: its budget also as {tokens: 2e9}. Raises SpecError."""
    return trial_spec_from_mapping({**raw, "budget": _trial_budget(raw.get("budget"))})


# ---- the parts -----------------------------------------------------------------------------------------------


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # making one takes milliseconds


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        for each in _specs_in(kind):
            each.__pydantic_config__ = ConfigDict(extra="forbid")
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _specs_in(kind: type[Any]) -> list[type[Any]]:
    """A spec and the specs that its fields hold, one or a tuple of them."""
    if not hasattr(kind, "__dataclass_fields__"):
        return []
    held = [one for each in fields(kind) for one in (get_args(each.type) or (each.type,)) if isinstance(one, type)]
    return [kind, *(deeper for each in held for deeper in _specs_in(each))]


def _validate(key: str, raw: Any, kind: type[T]) -> T:
    try:
        value: T = _adapter(kind).validate_json(json.dumps(raw), strict=True)
        return value
    except ValidationError as error:
        raise SpecError(_in_words(key, error, kind)) from None
    except TypeError as error:  # json: a YAML date, or a key that is a tuple
        for path, written in _dates(key, raw):
            raise SpecError(f"{path}: must be no date, got {written}{in_quotes(path, written)}") from None
        raise SpecError(f"{key}: {error}") from None


def _dates(path: str, raw: object) -> Iterator[tuple[str, date]]:
    """What YAML took for a date, with its path."""
    if isinstance(raw, date):
        yield path, raw
    inner = raw.items() if isinstance(raw, Mapping) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in inner:
        yield from _dates(f"{path}.{key}", value)


def _text(key: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise SpecError(f"{key}: must be text, got {sort_of(raw)}{in_quotes(key, raw)}")
    return raw


def _in_words(key: str, error: ValidationError, kind: type[Any]) -> str:
    first = error.errors()[0]
    path = ".".join([key, *(str(part) for part in first["loc"])])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [each.name for spec in _specs_in(kind) for each in fields(spec)]
        section, _, last = path.removeprefix("trial.").rpartition(".")
        return f"{path}: unknown key.{hint(section, last, known)}"
    if missing := [each for each in error.errors() if each["type"] in _MISSING]:
        return _are_missing(".".join([key, *(str(part) for part in each["loc"])]) for each in missing)
    if first["type"] == "string_type":
        return f"{path}: must be text, got {sort_of(first['input'])}{in_quotes(path, first['input'])}"
    if isinstance(cause := first.get("ctx", {}).get("error"), SpecError):
        return str(cause)
    if first["loc"] and first["loc"][-1] in ("bool", "int", "float", "str"):  # no member of OptionValue fits
        return f"{path.rpartition('.')[0]}: must be a number, a word, true or false, got {first['input']!r}"
    return f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"


_MISSING = ("missing", "missing_keyword_only_argument")


def _are_missing(paths: Iterable[str]) -> str:
    """'name: is missing', 'name, budget: are missing'."""
    named = list(paths)
    return f"{', '.join(named)}: {'are' if len(named) > 1 else 'is'} missing"


def _refuse_missing(raw: Mapping[str, Any]) -> None:
    """Raises SpecError with all that a study must say and this one does not."""
    layouts = raw.get("layouts")
    if isinstance(layouts, Mapping):  # before what is missing: it may be there under another name
        _refuse_unknown("layouts.", layouts, (each.name for each in fields(LayoutSpace)))
    missing = [key for key in ("name", "n_trials", "budget", "layouts") if key not in raw]
    if isinstance(layouts, Mapping):
        missing += [f"layouts.{key}" for key in ("blocks", "d_model", "depth") if key not in layouts]
    if missing:
        raise SpecError(_are_missing(missing))


def _require_mapping(key: str, raw: object) -> Mapping[Any, Any]:
    if not isinstance(raw, Mapping):
        raise SpecError(f"{key}: must be a mapping, got {raw!r}")
    return raw


def _refuse_unknown(prefix: str, raw: object, known: Iterable[str]) -> None:
    known = list(known)
    for key in _require_mapping(prefix.rstrip("."), raw):
        if key not in known:
            raise SpecError(f"{prefix}{key}: unknown key.{hint(prefix.rstrip('.'), str(key), known)}")


def _domains(section: str, raw: Any, spec: type[Any]) -> dict[str, Domain]:
    """The section's domains, defaults filled in, each tried out in the spec at its extreme values."""
    known = scalars_of(spec)
    _refuse_unknown(f"{section}.", raw, known)
    domains = defaults_of(spec)
    for key, value in raw.items():
        domains[key] = read_domain(f"{section}.{key}", value, known[key].type, known[key].search)
    first = {key: corners(domain)[0] for key, domain in domains.items()}
    for key, domain in domains.items():
        for corner in corners(domain):
            spec(**{**first, key: corner})
    return domains


def _starts(
    raw: Mapping[str, Mapping[str, Any]], train: Mapping[str, Domain], growth: Mapping[str, Domain]
) -> dict[str, dict[str, Any]]:
    """sampler.start_with, each value of its key's kind and one that the search could draw, or whose key is fixed."""
    key, domains_of = "sampler.start_with", {"train": train, "growth": growth}
    _refuse_unknown(f"{key}.", raw, SEARCHED)
    starts: dict[str, dict[str, Any]] = {}
    for section, values in raw.items():
        known, domains = scalars_of(SEARCHED[section]), domains_of[section]
        _refuse_unknown(f"{key}.{section}.", values, known)
        starts[section] = {
            name: _start(f"{key}.{section}.{name}", value, known[name].type, domains[name])
            for name, value in values.items()
        }
    return starts


def _start(key: str, raw: Any, kind: type, domain: Domain) -> Any:
    read = read_domain(key, raw, kind, None)
    assert isinstance(read, Fixed), "pydantic lets a single value through"
    if not isinstance(domain, Fixed) and not admits(domain, kind, read.value):
        raise SpecError(f"{key}: must be one that the search may draw, of {write_domain(domain)}, got {read.value!r}")
    return read.value


def _data(raw: Any) -> DataSpec:
    """The data section, defaults filled in. `source: hf:owner/name` is source and path."""
    raw = _require_mapping("data", raw)
    source, colon, path = str(raw.get("source")).partition(":")
    if source == _HUB and colon:
        if raw.get("path"):
            raise SpecError(f"data.path: is already said in data.source {raw['source']!r}, got {raw['path']!r}")
        raw = {**raw, "source": source, "path": path}
    _refuse_unknown("data.", raw, scalars_of(DataSpec))
    # what was recorded before there was a dtype held ids of two bytes throughout
    silent = before_of(DataSpec) if raw.get("sha256") else {}
    return _validate("data", default_values(DataSpec) | silent | dict(raw), DataSpec)


def _curriculum(raw: Any) -> tuple[StageSpec, ...]:
    """The stages, each with its defaults: the study's own data, as plastic as the layout has it."""
    if not isinstance(raw, list):
        raise SpecError(f"curriculum: must be a list of stages such as {{until: 0.15, path: a.txt}}, got {raw!r}")
    defaults = {"path": "", "sha256": "", "plasticity": 0.0}
    return tuple(
        _validate(key, {**defaults, **_require_mapping(key, stage)}, StageSpec)
        for key, stage in ((f"curriculum[{at}]", stage) for at, stage in enumerate(raw))
    )


def _is_path(source: object, key: str) -> bool:
    """Whether this key of the data section names a file or a folder."""
    return key == "tokenizer_path" or (key == "path" and source != _HUB)


def _absolute(folder: Path, path: str) -> str:
    """Meant from `folder`, or from the user's home where it begins with ~/."""
    absolute = str(resolved(folder / from_home(path)))
    if not is_utf8(absolute):
        raise SpecError(f"path {absolute!r} is not UTF-8, so no study can record it; give it another name")
    return absolute


def _budget(raw: Any) -> BudgetSpec:
    _refuse_unknown("budget.", raw, BUDGET_UNITS)
    if len(raw) != 1:
        raise SpecError(f"budget: needs exactly one of {', '.join(BUDGET_UNITS)}, got {', '.join(raw) or 'none'}")
    [(unit, amount)] = raw.items()
    return BudgetSpec(unit=unit, amount=_positive(f"budget.{unit}", amount))


def _trial_budget(raw: Any) -> Any:
    """{unit: tokens, amount: 2000000000}, also for {tokens: 2e9} as in a study; what is neither is left as it is."""
    if isinstance(raw, Mapping) and "amount" in raw:
        return {**raw, "amount": _positive("budget.amount", raw["amount"])}
    if isinstance(raw, Mapping) and set(raw) <= set(BUDGET_UNITS):
        return asdict(_budget(raw))
    return raw


def _positive(key: str, raw: Any) -> int:
    """A whole number from 1, also written as 2e9."""
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 1:
        raise SpecError(f"{key}: must be a whole number of at least 1, got {raw!r}")
    return raw


def _with_lists(raw: Any) -> Any:
    """A single value where a list of choices is meant: d_model: 64, kernel: 4, a kind without options."""
    if not isinstance(raw, dict):
        return raw
    raw = dict(raw)
    raw.update({key: _as_list(raw[key]) for key in ("d_model", "front", "head") if key in raw})
    if "depth" in raw:
        raw["depth"] = _read_depth(raw["depth"])
    if isinstance(raw.get("from_layer"), dict):
        raw["from_layer"] = {key: _as_list(value) for key, value in raw["from_layer"].items()}
    if isinstance(raw.get("blocks"), list) and all(isinstance(kind, str) for kind in raw["blocks"]):
        raw["blocks"] = dict.fromkeys(raw["blocks"])
    if isinstance(raw.get("blocks"), dict):
        raw["blocks"] = {kind: _options_with_lists(options) for kind, options in raw["blocks"].items()}
    return raw


def _read_depth(raw: Any) -> list[Any]:
    """Fewest and most blocks: 6 | {low: 2, high: 8}, or [2, 8] as it was written at first."""
    key = "layouts.depth"
    match read_domain(key, raw, int, None):
        case Fixed(value=value):
            return [value, value]
        case Range(low=low, high=high, log=False):
            return [low, high]
        case Choice(values=(low, high)):
            return [low, high]
        case Range():
            raise SpecError(f"{key}.log: depths are drawn evenly; leave it out")
        case _:
            raise SpecError(f"{key}: must be a number or a range such as {{low: 2, high: 8}}, got {raw!r}")


def _write_depth(depth: tuple[int, int]) -> Any:
    low, high = depth
    return low if low == high else {"low": low, "high": high}


def _options_with_lists(options: Any) -> Any:
    if not isinstance(options, dict):
        return {} if options is None else options
    return {name: _as_list(value) for name, value in options.items()}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set keys as `--set key.path=value` asks, in place. Raises SpecError."""
    # data.source first: whether data.path names a file depends on it
    for override in sorted(overrides, key=lambda each: not each.startswith("data.source=")):
        _apply(raw, override)


def _apply(raw: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not (path and equals):
        raise SpecError(f"--set {quoted(override)}: write it like train.lr=1e-3")
    *parents, last = path.split(".")
    if len(parents) >= MAX_DEPTH:
        raise SpecError(f"--set {quoted(override)}: names a key more than {MAX_DEPTH} deep")
    section = raw
    for parent in parents:
        section = _entered(section, parent, override)
    if not isinstance(section, dict):
        raise SpecError(f"--set {quoted(override)}: {quoted(last)} must be a key of what stands in the list")
    try:
        section[last] = parse_yaml(text)
    except SpecError as error:
        raise SpecError(f"--set {quoted(override)}: {error}") from None
    if path.startswith("budget.") and last in BUDGET_UNITS:  # the other unit in the file gives way
        raw["budget"] = {last: section[last]}
    if parents == ["data"] and last in _DATA_TEXTS:  # a path is said here: from the folder we are in
        section[last] = _absolute(Path.cwd(), text) if text and _is_path(section.get("source"), last) else text
    if parents[:1] == ["curriculum"] and last == "path":
        data = raw.get("data")
        source = data.get("source") if isinstance(data, dict) else None
        section[last] = _absolute(Path.cwd(), text) if text and _is_path(source, last) else text


def _entered(section: Any, parent: str, override: str) -> dict[str, Any]:
    """What lies under a key, or at a place of a list: curriculum.0. Absent, or without anything under it: made."""
    if isinstance(section, dict) and section.get(parent) is None:
        section[parent] = {}
    if isinstance(section, list) and parent.isdecimal() and len(parent) < 10 and int(parent) < len(section):
        inner = section[int(parent)]
    elif isinstance(section, dict):
        inner = section[parent]
    else:
        raise SpecError(f"--set {quoted(override)}: there is no {quoted(parent)}")
    if not isinstance(inner, dict | list):
        raise SpecError(f"--set {quoted(override)}: {quoted(parent)} is not a section")
    return inner  # type: ignore[return-value]  # a list is entered in the next round; the last key is a mapping's
