"""The growth section: when a model grows, with what weights and where, by name, and what comes with each name.

    growth: {trigger: [never, {stagnation: {tau_crit: search}}], operator: aiether, freeze_steps: 100}

In a Study it is flat, as all that may be searched is: 'trigger', 'trigger.stagnation.tau_crit', 'freeze_steps'.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import Any

from growlab.domains import Choice, Domain, Fixed, Value, corners, domain_of, read_domain, write_domain
from growlab.errors import SpecError, did_you_mean
from growlab.escapes import quoted
from growlab.named import Named
from growlab.recipes import NEVER, PARTS, SORTS, Sort
from growlab.scalar import Scalar, before_of, scalars_of
from growlab.specs import DEFAULT_PARTS, GrowthSpec
from growlab.study.checking import are_missing, as_list, require_mapping
from growlab.study.flat_keys import FLAT_KEYS, opened, places
from growlab.study.keys import hint
from growlab.study.presets import EARLY_DOUBLE, PRESETS

# ---- a section as people and rows write it ---------------------------------------------------------------------


SILENT: Mapping[str, Any] = {"trigger": NEVER}  # the section of a file that has none


def growth_defaults() -> dict[str, Domain]:
    """What a study whose file is silent fixes."""
    return read_growth(SILENT)


def read_growth(raw: object) -> dict[str, Domain]:
    """The domains of a file's section, defaults filled in, each value checked. The tables of parts must be filled.

    Raises SpecError, and NotRegistered for a name that no table has.
    """
    written = _planned(raw)
    domains: dict[str, Domain] = {sort: _names(sort, written.pop(sort, DEFAULT_PARTS[sort])) for sort in SORTS}
    domains |= {key: Fixed(value=known.default) for key, known in scalars_of(GrowthSpec).items()}
    for part in sorted(_named(domains)):
        domains |= {f"{part}.{key}": Fixed(value=known.default) for key, known in _options(part).items()}
    for key, value in written.items():
        known = _known(key)
        domain = read_domain(f"growth.{key}", value, known.type, known.search)
        for corner in corners(domain):
            known.check(f"growth.{key}".rpartition(".")[0], corner)
        if key in domains or domain != Fixed(value=known.default):  # else it says what it would not change
            domains[key] = domain
    for unit in corners(domains["unit"]):
        growth_spec({key: corners(domain)[0] for key, domain in domains.items()} | {"unit": unit})
    return domains


def _planned(raw: object) -> dict[str, Any]:
    """The section as full names: its preset, replaced by what stands beside it.

    `true`, or a section that names neither a preset nor a trigger, means the plan that measured best; `false` none.
    """
    if isinstance(raw, bool):
        raw = {"preset": EARLY_DOUBLE} if raw else SILENT
    elif isinstance(raw, str):
        raw = {"preset": raw}
    if not isinstance(raw, Mapping):
        raise SpecError(f"growth: must be true, false, the name of a preset or a mapping, got {raw!r}")
    given = dict(raw)
    name = given.pop("preset", None if "trigger" in given else EARLY_DOUBLE)
    if name is None:
        return flat_growth(given)
    if not isinstance(name, str) or name not in PRESETS:
        raise SpecError(
            f"growth.preset must be one of {', '.join(PRESETS)}, got {quoted(name)}.{did_you_mean(str(name), PRESETS)}"
        )
    preset = flat_growth(PRESETS[name].section)
    written = preset | flat_growth({sort: preset[sort] for sort in SORTS} | given)
    named = {f"{sort}.{each}" for sort in SORTS for each in as_list(written[sort])}
    for key in given:
        _refuse_unnamed(str(key), named)
    kept = {key for key in written if key not in preset or key.rpartition(".")[0] in {"", *named}}
    return {key: value for key, value in written.items() if key in kept}


def _refuse_unnamed(key: str, named: Collection[str]) -> None:
    """Raise SpecError for an option of a trigger or an operator that the section does not name."""
    full_names = [key] if "." in key else places(key, named)
    parts = [name.rpartition(".")[0] for name in full_names]
    if parts and not set(parts) & set(named):
        sort, _, name = parts[0].partition(".")
        option = key.rpartition(".")[2]
        raise SpecError(
            f"growth.{key} is an option of {sort} {name}, which this section does not name; write "
            f"growth: {{{sort}: {{{name}: {{{option}: …}}}}}}"
        )


def stored_growth(raw: object) -> dict[str, Domain]:
    """The domains that write_growth wrote, now or before there were parts; no table is asked.

    Raises SpecError for a damaged row.
    """
    written = {"position": DEFAULT_PARTS["position"]} | flat_growth(require_mapping("growth", raw))
    domains: dict[str, Domain] = {key: Fixed(value=value) for key, value in before_of(GrowthSpec).items()}
    domains |= {key: domain_of(f"growth.{key}", value) for key, value in written.items()}
    for key in written:
        if "." not in key and key not in SORTS and key not in scalars_of(GrowthSpec):
            raise _unknown(key)
    if missing := [f"growth.{key}" for key in (*SORTS, *scalars_of(GrowthSpec)) if key not in domains]:
        raise SpecError(are_missing(missing))
    return domains


def write_growth(domains: Mapping[str, Domain]) -> dict[str, Any]:
    """The section as a file and a row have it."""
    named = _named(domains)
    written: dict[str, Any] = {}
    for sort in SORTS:
        parts = [_written_part(sort, str(name), domains) for name in corners(domains[sort])]
        written[sort] = parts if isinstance(domains[sort], Choice) else parts[0]
    for key, domain in domains.items():
        if key not in SORTS and key.rpartition(".")[0] not in named:
            written[key] = write_domain(domain)
    return written


def _written_part(sort: Sort, name: str, domains: Mapping[str, Domain]) -> Any:
    before = f"{sort}.{name}."
    options = {key.removeprefix(before): write_domain(each) for key, each in domains.items() if key.startswith(before)}
    return {name: options} if options else name


def flat_growth(raw: Mapping[Any, Any], beside: Mapping[str, Domain] | None = None) -> dict[str, Any]:
    """Nested and flat keys as full ones. A key that is written out, trigger.stagnation.tau_crit, has the last word.

    Names that `raw` does not give are those of the section `beside` it, else of a silent study.
    """
    nested: dict[str, Any] = {}
    for sort in SORTS:
        if sort in raw:
            nested[sort], options = _taken_apart(sort, raw[sort])
            nested |= options
    silent = {sort: list(corners(beside[sort])) if beside else DEFAULT_PARTS[sort] for sort in SORTS}
    named = {f"{sort}.{name}" for sort, names in (silent | nested).items() if sort in SORTS for name in as_list(names)}
    return nested | opened({str(key): value for key, value in raw.items() if key not in SORTS}, named)


def _taken_apart(sort: Sort, raw: Any) -> tuple[Any, dict[str, Any]]:
    """The names of a part, one or a list of them, and their options by key."""
    options: dict[str, Any] = {}

    def name_of(item: Any) -> Any:
        if isinstance(item, Mapping) and len(item) == 1:
            [(name, given)] = item.items()
            if given is None or isinstance(given, Mapping):
                options.update({f"{sort}.{name}.{key}": value for key, value in (given or {}).items()})
                return name
        return item

    return ([name_of(item) for item in raw] if isinstance(raw, list) else name_of(raw)), options


def _names(sort: Sort, raw: Any) -> Domain:
    """Raises NotRegistered for a name that the table has not."""
    searched = tuple(name for name, part in PARTS[sort].items() if part.searched)
    domain = read_domain(f"growth.{sort}", raw, str, Choice(values=searched) if len(searched) > 1 else None)
    for name in corners(domain):
        PARTS[sort][str(name)]
    return domain


def _named(domains: Mapping[str, Domain]) -> set[str]:
    """'trigger.stagnation' and its like, for each part that a trial may have."""
    return {f"{sort}.{name}" for sort in SORTS for name in corners(domains[sort])}


def _options(part: str) -> Mapping[str, Any]:
    sort, _, name = part.partition(".")
    return scalars_of(PARTS[sort][name].options)  # type: ignore[index]  # a sort, which the caller has seen


def _known(key: str) -> Any:
    """What is declared of a key of the section. Raises SpecError for one that there is not."""
    part, _, option = key.rpartition(".")
    if part.partition(".")[0] in SORTS and part.count(".") == 1:
        if option not in _options(part):
            raise SpecError(f"growth.{key}: unknown key.{hint(f'growth.{part}', option, _options(part))}")
        return _options(part)[option]
    if key not in scalars_of(GrowthSpec):
        raise _unknown(key)
    return scalars_of(GrowthSpec)[key]


def growth_scalar(key: str) -> Scalar | None:
    """What is declared of a key of the section, written out or flat; None of a name, and of a key that there is not."""
    part, _, option = next(iter(places(key, ())), key).rpartition(".")
    sort, _, name = part.partition(".")
    if not part:
        return scalars_of(GrowthSpec).get(option)
    return _options(part).get(option) if sort in SORTS and name in PARTS[sort] else None


def _unknown(key: str) -> SpecError:
    known = [*(each.name for each in fields(GrowthSpec)), *FLAT_KEYS]
    return SpecError(f"growth.{key}: unknown key.{hint('growth', key, known)}")


# ---- one trial's values ----------------------------------------------------------------------------------------


def growth_spec(values: Mapping[str, Value]) -> GrowthSpec:
    """The spec of a trial from a value for every key. Options of parts that it has not are left out."""
    parts = {sort: _part(sort, str(values[sort]), values) for sort in SORTS}
    return GrowthSpec(**parts, **{key: values[key] for key in scalars_of(GrowthSpec)})  # type: ignore[arg-type]


def growth_with(**given: Any) -> GrowthSpec:
    """The spec of a section that gives these values, such as trigger='stagnation' and tau_crit=1.5, defaults for the
    rest; of a list or a range the first."""
    return growth_spec({key: corners(domain)[0] for key, domain in read_growth({**SILENT, **given}).items()})


def growth_domains(spec: GrowthSpec) -> dict[str, Domain]:
    """A section that fixes what a trial had."""
    domains: dict[str, Domain] = {key: Fixed(value=getattr(spec, key)) for key in scalars_of(GrowthSpec)}
    for sort in SORTS:
        part: Named = getattr(spec, sort)
        domains[sort] = Fixed(value=part.name)
        domains |= {f"{sort}.{part.name}.{key}": Fixed(value=value) for key, value in part.options.items()}
    return domains


DECIDING = ("trigger", *(sort for sort in SORTS if sort != "trigger"), "factor")  # that `acting` asks, in this order


def acting(key: str, values: Mapping[str, Value]) -> bool | None:
    """Whether a key of the section changes anything beside these `values` of others; None where that is still open.

    Where nothing grows, nothing does but the trigger; else an option does where its part is the trial's, and `units`
    where `factor` is 1.
    """
    if key == "trigger":
        return True
    if (trigger := values.get("trigger")) is None:
        return None
    if trigger == NEVER:
        return False
    part, _, _ = key.rpartition(".")
    sort, _, name = part.partition(".")
    if key == "units":
        return None if "factor" not in values else values["factor"] == 1
    if not sort:
        return True
    return None if sort not in values else values[sort] == name


def _part(sort: Sort, name: str, values: Mapping[str, Value]) -> Named:
    before = f"{sort}.{name}."
    options = {key.removeprefix(before): value for key, value in values.items() if key.startswith(before)}
    return Named(name=name, options=options)


def written_growth(spec: GrowthSpec) -> dict[str, Any]:
    """A trial's growth as its row has it, in plain JSON types."""
    return asdict(spec) | {sort: getattr(spec, sort).written() for sort in SORTS}


def growth_of_row(raw: object) -> dict[str, Any]:
    """What a trial's row says of growth, each part as {name, options}, also of a row from before there were parts.

    Raises SpecError.
    """
    written = {"position": DEFAULT_PARTS["position"]} | flat_growth(require_mapping("trial.growth", raw))
    row = {key: value for key, value in written.items() if "." not in key}
    for sort in SORTS:
        if sort in row:
            row[sort] = asdict(_part(sort, str(row[sort]), written))
    return row
