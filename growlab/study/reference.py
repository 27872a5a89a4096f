"""Every key that a study file may have: a sentence, its type, default and range, from where each is declared."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any

from growlab.domains import Choice, Domain, Range, Rising, write_domain
from growlab.errors import UsageError, did_you_mean
from growlab.escapes import quoted
from growlab.metrics import METRICS
from growlab.named import Part
from growlab.recipes import PARTS, SORTS
from growlab.records import LOSSES
from growlab.rungs import Rungs
from growlab.samplers import DEFAULT_SAMPLER, SAMPLERS
from growlab.scalar import Scalar, either, scalars_of
from growlab.specs import BUDGET_UNITS, DEFAULT_PARTS, DataSpec, GrowthSpec, StageSpec, TrainSpec
from growlab.stopping import DivergenceRule, MedianRule, PatienceRule, StopRules
from growlab.study.limits import STUDY_UNITS
from growlab.study.objectives import MOST_OBJECTIVES, Objective
from growlab.study.presets import EARLY_DOUBLE, PRESETS
from growlab.study.study import FromLayer, LayoutSpace, SamplerSpec, Study

_TYPES: Mapping[type, str] = {
    Rising: "rising numbers in one text",
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
}
_PARTS_HELP = {
    "trigger": "when a model grows: a name, or a list of names, each alone or with options: [never, {stagnation: {…}}]",
    "operator": "with what weights a new unit enters",
    "position": "where it enters",
}


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a study file."""

    name: str  # full, such as train.lr
    type: str
    default: str  # '' where a study must say it
    range: str  # what is admitted; '' where anything of its type is
    search: str  # what `search` means; '' where a study must write a list or a range itself
    since: str  # '' for a key of the first version
    help: str

    @property
    def is_searchable(self) -> bool:
        """Whether a list or a range may stand in place of one value."""
        return self.name.startswith(("train.", "growth."))


def all_keys() -> list[Key]:
    """All of them, section by section; options of growth's parts as far as they are registered."""
    return [
        *_settings("", Study),
        _objectives(),
        *_budget(),
        *_limits(),
        *_settings("rungs", Rungs),
        *_settings("stop", StopRules),
        *_settings("stop.median", MedianRule),
        *_settings("stop.patience", PatienceRule),
        *_settings("stop.divergence", DivergenceRule),
        *_scalars("data", DataSpec),
        *_settings("curriculum[]", StageSpec),
        *_scalars("curriculum[]", StageSpec),
        *_settings("layouts", LayoutSpace),
        *_settings("layouts.from_layer", FromLayer),
        *_scalars("train", TrainSpec),
        _presets(),
        *_parts(),
        *_scalars("growth", GrowthSpec),
        *_judging(),
        *_samplers(),
        *_settings("sampler", SamplerSpec),
    ]


def keys_named(asked: str) -> list[Key]:
    """The key of this full name, or all of a section. Raises UsageError."""
    known = all_keys()
    found = [key for key in known if key.name == asked or key.name.startswith(f"{asked}.")]
    if not found:
        sections = dict.fromkeys(key.name.partition(".")[0] for key in known if "." in key.name)
        raise UsageError(
            f"a study file has no key {quoted(asked)}; its sections are {', '.join(sections)}."
            f"{did_you_mean(asked, [key.name for key in known])}"
        )
    return found


def about(key: Key) -> str:
    """What there is to say of a key besides its sentence, in one line."""
    said = [key.type, f"default {key.default}" if key.default else "must be said", key.range]
    said += [f"search: {key.search}" if key.search else "", f"since {key.since}" if key.since else ""]
    return "; ".join(filter(None, said))


def page(listed: Iterable[Key]) -> str:
    """A page of Markdown with a table for each section."""
    lines, section = [_HEAD], None
    for key in listed:
        if (of := key.name.rpartition(".")[0]) != section:
            section = of
            lines += ["", f"## `{section}`" if section else "## The study itself", "", *_TABLE]
        cells = (f"`{key.name}`", key.help, key.type, key.default or "–", key.range or "–", key.search or "–")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


_HEAD = """# The keys of a study file

`growlab study keys [KEY]` prints them, with those of plugins (`--plugin`). A value below `train` and `growth` may be a
list, `[0.1, 0.2]`, or a range, `{low: 1e-4, high: 1e-2, log: true}`, from which a search draws; `search` means what the
last column says. Options of block kinds are listed by `growlab blocks`. This page is made by
`growlab study keys --markdown`."""
_TABLE = ("| key | | type | default | range | `search` |", "|---|---|---|---|---|---|")


def search_ranges() -> dict[str, Domain]:
    """What `search` means, by full name, of every value that has a range of its own."""
    ranges = {f"{section}.{key}": each.search for section, key, each in _searched() if each.search}
    operators = tuple(name for name, part in PARTS["operator"].items() if part.searched)
    return ranges | {"growth.operator": Choice(values=operators)}


def _searched() -> Iterator[tuple[str, str, Scalar]]:
    sections: list[tuple[str, type[Any]]] = [("train", TrainSpec), ("growth", GrowthSpec)]
    sections += [(part.section, part.options) for part in _registered()]
    for section, spec in sections:
        for key, each in scalars_of(spec).items():
            yield section, key, each


def _registered() -> Iterable[Part]:
    return (part for sort in SORTS for part in PARTS[sort].values())


def _scalars(section: str, spec: type[Any]) -> Iterator[Key]:
    for name, each in scalars_of(spec).items():
        yield Key(
            name=f"{section}.{name}",
            type=_TYPES[each.type],
            default=_value(each.default),
            range="" if each.expected == "a finite number" else each.expected,
            search=_domain(each.search),
            since=each.since,
            help=each.help,
        )


def _parts() -> Iterator[Key]:
    """The names of growth's parts, and the options of each."""
    for sort in SORTS:
        drawn = Choice(values=tuple(name for name, part in PARTS[sort].items() if part.searched))
        summaries = "; ".join(f"{name}: {part.summary}" for name, part in PARTS[sort].items())
        yield Key(
            name=f"growth.{sort}",
            type="name",
            default=DEFAULT_PARTS[sort],
            range=", ".join(PARTS[sort]),
            search=_domain(drawn) if len(drawn.values) > 1 else "",
            since="",
            help=f"{_PARTS_HELP[sort]} ({summaries})",
        )
        for part in PARTS[sort].values():
            yield from _scalars(part.section, part.options)


def _presets() -> Key:
    summaries = "; ".join(f"{name}: {preset.summary}" for name, preset in PRESETS.items())
    return Key(
        name="growth.preset",
        type="name",
        default=f"{EARLY_DOUBLE}, of a section that names no trigger; no growth without a section",
        range=", ".join(PRESETS),
        search="",
        since="0.1.0",
        help=f"a plan by name ({summaries}); keys beside it replace its own; `growth: NAME` is short for it, "
        f"`growth: true` for {EARLY_DOUBLE}",
    )


def _samplers() -> Iterator[Key]:
    """The name of the sampler, and the options of all that are registered."""
    summaries = "; ".join(f"{name}: {sampler.summary}" for name, sampler in SAMPLERS.items())
    yield Key(
        name="sampler.name",
        type="name",
        default=DEFAULT_SAMPLER,
        range=", ".join(SAMPLERS),
        search="",
        since="0.1.0",
        help=f"how the study decides what to try next ({summaries}); `sampler: NAME` is short for it",
    )
    owners: dict[Key, list[str]] = {}  # of equal keys, as of samplers that go on as another does
    for name, sampler in SAMPLERS.items():
        for key in _scalars("sampler", sampler.options):
            owners.setdefault(key, []).append(name)
    for key, names in owners.items():
        yield replace(key, help=f"{key.help} (of {either(tuple(names))})")


def _objectives() -> Key:
    summaries = "; ".join(f"{name}: {metric.summary}" for name, metric in METRICS.items())
    return Key(
        name="objectives",
        type="list of names or sections",
        default="objective",
        range=f"at most {MOST_OBJECTIVES}, the first of them a loss",
        search="",
        since="0.1.0",
        help=f"several metrics in place of one objective, each a name or a section ({summaries}); no trial is best in "
        "all of them, and a report shows those that no other one is better than",
    )


def _judging() -> Iterator[Key]:
    """What trials are judged by: one loss, or several registered metrics with their options, and constraints."""

    def key(name: str, type: str, default: str, admitted: str, about: str, since: str = "0.1.0") -> Key:
        return Key(name=name, type=type, default=default, range=admitted, search="", since=since, help=about)

    losses = "what trials are ranked by: of the last evaluation, of the best one, or the last per byte of text"
    yield key("objective.metric", "text", "val_loss", either(LOSSES), losses, since="")
    yield from (replace(setting, since="0.1.0") for setting in _settings("objectives[]", Objective))
    for metric in METRICS.values():
        for option in _scalars("objectives[]", metric.options):
            yield replace(option, since="0.1.0", help=f"{option.help} (of {metric.name}, also in constraints)")
    for bound, side in (("at_most", "upper"), ("at_least", "lower")):
        about = (
            f"{side} bound of a metric; a trial beyond it is on no front, and is not proposed where a layout tells it"
        )
        yield key(f"constraints.METRIC.{bound}", "number", "no bound", "", about)


def _budget() -> Iterator[Key]:
    for unit in BUDGET_UNITS:
        yield Key(
            name=f"budget.{unit}",
            type=_TYPES[int],
            default="",
            range="at least 1",
            search="",
            since="",
            help=f"{unit} that a trial may spend; one of {', '.join(BUDGET_UNITS)}",
        )


def _limits() -> Iterator[Key]:
    """What ends a study before it has all its trials."""

    def key(name: str, about: str, type_: type, default: str, admitted: str) -> Key:
        return Key(name=name, type=_TYPES[type_], default=default, range=admitted, search="", since="0.1.0", help=about)

    yield key("budget.study.trials", "n_trials by another name", int, "n_trials", "at least 1")
    for unit, about in STUDY_UNITS.items():
        yield key(f"budget.study.{unit}", about, float, "no limit", "greater than 0")
    for loss in LOSSES:
        yield key(f"stop_when.{loss}", "ends the study once a completed trial is as low", float, "no target", "")


def _settings(section: str, spec: type[Any]) -> Iterator[Key]:
    for each in fields(spec):
        if "help" in each.metadata:
            yield Key(
                name=f"{section}.{each.name}" if section else each.name,
                type=each.metadata["type"],
                default=_default(each),
                range=each.metadata["range"],
                search="",
                since="",
                help=each.metadata["help"],
            )


def _default(declared: Field[Any]) -> str:
    if declared.default is not MISSING:
        return _value(declared.default)
    return "none" if declared.default_factory is not MISSING else ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return "none" if value is None or value == "" else str(value)


def _domain(domain: Domain | None) -> str:
    """As a study file writes it."""
    match domain:
        case None:
            return ""
        case Range(low=low, high=high, log=log):
            return f"{{low: {low}, high: {high}{', log: true' if log else ''}}}"
        case _:
            return f"[{', '.join(_value(value) for value in write_domain(domain))}]"
