"""A trial that a person adds to a search, checked as a layout to start with is: to be trained, or with its result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from growlab.domains import Domain, Fixed, Value
from growlab.errors import UnknownName, UsageError
from growlab.escapes import quoted
from growlab.kinds import Kind, complete, shorten
from growlab.layout import n_run, parse
from growlab.proposal import Proposal
from growlab.records import ADDED, TOLD, Decision, PastTrial
from growlab.search.limits import LIMITS, Limits, Measure, needs_costs
from growlab.search.propose import trial_spec
from growlab.search.sampling import sampler_options
from growlab.search.scalars import acts, suggest
from growlab.search.space import check_space
from growlab.seeds import derived_seed
from growlab.study import Study
from growlab.study.reading import read_value

_AT_FIRST = 8  # finished trials, before which a scalar that is not given is drawn at random


def refuse_additions(study: Study) -> None:
    """Raise UsageError for a study whose trials are counted off, so that none can come between them."""
    if not sampler_options(study).proposes:
        raise UsageError(f"study {study.name!r} searches nothing: its trials were all made with it; make another study")
    if study.repeats > 1:
        raise UsageError(
            f"study {study.name!r} has repeats {study.repeats}: its trials are counted off in groups of so many, "
            "between which none can be added; make a study with repeats 1"
        )


def takes_a_place(study: Study) -> bool:
    """Whether a trial that is added is one of the study's n_trials, where it has not all of them yet.

    In the place of a cell of a table it would leave a hole.
    """
    return sampler_options(study).n_cells(study) is None


def is_limited(study: Study) -> bool:
    """Whether the study limits what its layouts cost."""
    return needs_costs(study) or any(getattr(study.layouts, key) for key in LIMITS)


def read_values(study: Study, raw: Mapping[str, Any], where: str = "") -> dict[str, Value]:
    """Values of searched scalars by full name, of their types and such as the search may draw.

    What the study fixes may be said too, if it is the same. `where` begins a message. Raises UnknownName, UsageError.
    """
    domains = study.scalars()
    values: dict[str, Value] = {}
    for name, written in raw.items():
        if name not in domains:
            raise UnknownName(f"{where}scalar", name, domains)
        value = read_value(f"{where}{name}", written, domains[name])
        domain = domains[name]
        if not isinstance(domain, Fixed):
            values[name] = value
        elif value != domain.value:
            raise UsageError(
                f"{where}{name} is {quoted(domain.value)} in every trial of study {study.name!r}, got {quoted(value)}; "
                f"it searches {', '.join(_searched(domains)) or 'no scalar'}"
            )
    return values


def checked_layout(study: Study, text: str, kinds: Mapping[str, Kind], where: str) -> str:
    """The complete text of a layout that could stand in layouts.start_with. Raises UsageError; `where` begins it."""
    starts = study.layouts.start_with
    try:
        check_space(replace(study, layouts=replace(study.layouts, start_with=(*starts, text))), kinds)
    except UsageError as error:
        raise UsageError(f"{where}{str(error).removeprefix(f'layouts.start_with[{len(starts)}]: ')}") from None
    return str(complete(parse(text), kinds))


def added_proposal(
    study: Study,
    past: Sequence[PastTrial],
    layout: str,
    values: Mapping[str, Value],
    kinds: Mapping[str, Kind],
    *,
    measure: Measure | None = None,
    words: str = "",
    where: str = "",
) -> Proposal:
    """The trial of a checked layout with these values, after `past`; scalars that are not given are drawn.

    Raises UsageError for a value that changes nothing beside the others, and for a layout beyond the study's limits,
    which are asked where there is a `measure`.
    """
    number = len(past)
    seed = derived_seed(study.seed, number, "proposal")
    params = suggest(study, past, seed, startup_trials=_AT_FIRST, given=values)
    _refuse_idle(study, params, values, where)
    if measure and (excess := Limits(study=study, kinds=kinds, measure=measure, params=params).excess(parse(layout))):
        raise UsageError(f"{where}the layout {excess}")
    return _proposal(study, past, number, layout, params, values, kinds, origin=ADDED, words=words)


def told_proposal(
    study: Study,
    past: Sequence[PastTrial],
    number: int,
    layout: str,
    values: Mapping[str, Value],
    kinds: Mapping[str, Kind],
    *,
    words: str,
    where: str,
) -> Proposal:
    """The trial of which a result is told: every searched scalar that acts has a value. Raises UsageError."""
    _refuse_idle(study, values, values, where)
    domains = study.scalars()
    known = {name: domain.value for name, domain in domains.items() if isinstance(domain, Fixed)} | dict(values)
    if missing := [name for name in _searched(domains) if name not in values and acts(name, known) is not False]:
        raise UsageError(
            f"{where}says nothing of {', '.join(missing)}, which study {study.name!r} searches; "
            "add a column with what it was"
        )
    return _proposal(study, past, number, layout, values, values, kinds, origin=TOLD, words=words)


def _searched(domains: Mapping[str, Domain]) -> list[str]:
    return [name for name, domain in domains.items() if not isinstance(domain, Fixed)]


def _refuse_idle(study: Study, params: Mapping[str, Value], values: Mapping[str, Value], where: str) -> None:
    fixed = {name: domain.value for name, domain in study.scalars().items() if isinstance(domain, Fixed)}
    for name in values:
        if acts(name, fixed | dict(params)) is False:
            raise UsageError(f"{where}{name} changes nothing beside the other values; leave it out")


def _proposal(
    study: Study,
    past: Sequence[PastTrial],
    number: int,
    layout: str,
    params: Mapping[str, Value],
    given: Mapping[str, Value],
    kinds: Mapping[str, Kind],
    *,
    origin: str,
    words: str,
) -> Proposal:
    parsed = parse(layout)
    return Proposal(
        spec=trial_spec(study, parsed, kinds, params, given, derived_seed(study.seed, number, "trial")),
        layout=str(shorten(parsed, kinds)),
        depth=n_run(parsed.blocks),
        params={name: params[name] for name in study.scalars() if name in params},
        decision=Decision(
            number=number,
            seed=derived_seed(study.seed, number, "proposal"),
            origin=origin,
            parent=None,
            mutation=words,
            finished=tuple(trial.number for trial in past if trial.state.is_final),
            running=tuple(trial.number for trial in past if not trial.state.is_final),
        ),
    )
