"""objective, objectives and constraints: read from what YAML or JSON made of them, and written out again.

    objective: {metric: val_loss}
    objectives: [val_loss, params, {metric: state_size, seq_len: 4096, direction: minimise, reference: 1e6}]
    constraints: {params: {at_most: 5e6}, decode_tokens_per_s: {at_least: 1000}}

A metric's options stand beside its name. One objective without more is written as it was before there were several.
"""

from collections.abc import Collection, Mapping
from typing import Any

from growlab.domains import typed
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.metrics import DIRECTIONS, METRICS, Direction, options_of
from growlab.records import LOSSES
from growlab.scalar import either, require, scalars_of
from growlab.study.checking import as_list, refuse_unknown, require_mapping
from growlab.study.objectives import Constraint, Objective

OBJECTIVE, OBJECTIVES, CONSTRAINTS = "objective", "objectives", "constraints"
SECTIONS = (OBJECTIVE, OBJECTIVES, CONSTRAINTS)
_OF_OBJECTIVE = ("metric", "direction", "reference")
_OF_CONSTRAINT = ("at_most", "at_least")


def read_objectives(raw: Mapping[str, Any]) -> tuple[Objective, ...]:
    """The objectives that a study file names, val_loss where it is silent. Raises NotRegistered, SpecError."""
    if raw.get(OBJECTIVES) is None:
        return (_read_single(raw.get(OBJECTIVE)),)
    if raw.get(OBJECTIVE) is not None:
        raise SpecError("objective and objectives: a study has one of the two sections; leave one out")
    listed = as_list(raw[OBJECTIVES])
    return tuple(_read_objective(f"{OBJECTIVES}[{at}]", written) for at, written in enumerate(listed))


def read_constraints(raw: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The constraints that a study file names. Raises NotRegistered, SpecError."""
    written = raw.get(CONSTRAINTS)
    if written is None:
        return ()
    named = require_mapping(CONSTRAINTS, written).items()
    return tuple(_read_constraint(name, bounds) for name, bounds in named if bounds is not None)


def stored_objectives(raw: Mapping[str, Any]) -> tuple[Objective, ...]:
    """The objectives of a row; no table is asked. Raises SpecError for a damaged row."""
    if raw.get(OBJECTIVES) is None:
        return (Objective(metric=_text("objective.metric", require_mapping(OBJECTIVE, raw.get(OBJECTIVE)), "metric")),)
    return tuple(_stored_objective(f"{OBJECTIVES}[{at}]", each) for at, each in enumerate(as_list(raw[OBJECTIVES])))


def stored_constraints(raw: Mapping[str, Any]) -> tuple[Constraint, ...]:
    """The constraints of a row, likewise."""
    written = require_mapping(CONSTRAINTS, raw.get(CONSTRAINTS) or {})
    return tuple(_bounded(name, require_mapping(f"{CONSTRAINTS}.{name}", bounds)) for name, bounds in written.items())


def write_judging(objectives: tuple[Objective, ...], constraints: tuple[Constraint, ...]) -> dict[str, Any]:
    """The sections as a row and a file have them; those that say nothing are left out."""
    if objectives == (Objective(metric=objectives[0].metric),):
        written: dict[str, Any] = {OBJECTIVE: {"metric": objectives[0].metric}}
    else:
        written = {OBJECTIVES: [_write_objective(objective) for objective in objectives]}
    if constraints:
        written[CONSTRAINTS] = {constraint.metric: _write_constraint(constraint) for constraint in constraints}
    return written


# ---- of a file -----------------------------------------------------------------------------------------------------


def _read_single(raw: Any) -> Objective:
    """The section `objective`, which knows losses alone."""
    written = {} if raw is None else require_mapping(OBJECTIVE, raw)
    refuse_unknown(f"{OBJECTIVE}.", written, ("metric",))
    metric = written.get("metric", "val_loss")
    expected = f"{either(LOSSES)}; several metrics are a list, objectives"
    require(metric in LOSSES, f"{OBJECTIVE}.metric", expected, metric)
    return Objective(metric=metric)


def _read_objective(key: str, raw: Any) -> Objective:
    written = {"metric": raw} if isinstance(raw, str) else require_mapping(key, raw)
    if "metric" not in written:
        raise SpecError(f"{key}.metric: is missing; write the name of a metric: {', '.join(METRICS)}")
    metric = _text(f"{key}.metric", written, "metric")
    options = _read_options(key, metric, written, _OF_OBJECTIVE)
    return Objective(
        metric=metric,
        direction=_direction(key, written.get("direction", METRICS[metric].direction)),
        reference=_number(f"{key}.reference", written.get("reference")),
        options=options,
    )


def _read_constraint(metric: str, raw: Any) -> Constraint:
    section = f"{CONSTRAINTS}.{metric}"
    written = require_mapping(section, raw)
    return _bounded(metric, {**written, **_read_options(section, metric, written, _OF_CONSTRAINT)})


def _read_options(section: str, metric: str, written: Mapping[str, Any], own: Collection[str]) -> dict[str, Any]:
    """The options of a metric that were given beside a section's `own` keys. Raises NotRegistered, SpecError."""
    refuse_unknown(f"{section}.", written, [*own, *scalars_of(METRICS[metric].options)])
    given = {name: value for name, value in written.items() if name not in own}
    read = options_of(metric, given)
    return {name: getattr(read, name) for name in given}


# ---- of a row ------------------------------------------------------------------------------------------------------


def _stored_objective(key: str, raw: Any) -> Objective:
    written = require_mapping(key, raw)
    return Objective(
        metric=_text(f"{key}.metric", written, "metric"),
        direction=_direction(key, written.get("direction")),
        reference=_number(f"{key}.reference", written.get("reference")),
        options={name: value for name, value in written.items() if name not in _OF_OBJECTIVE},
    )


def _bounded(metric: str, written: Mapping[str, Any]) -> Constraint:
    section = f"{CONSTRAINTS}.{metric}"
    return Constraint(
        metric=metric,
        at_most=_number(f"{section}.at_most", written.get("at_most")),
        at_least=_number(f"{section}.at_least", written.get("at_least")),
        options={name: value for name, value in written.items() if name not in _OF_CONSTRAINT},
    )


def _write_objective(objective: Objective) -> dict[str, Any]:
    written = {"metric": objective.metric, "direction": objective.direction, **objective.options}
    return written if objective.reference is None else {**written, "reference": objective.reference}


def _write_constraint(constraint: Constraint) -> dict[str, Any]:
    bounds = {name: getattr(constraint, name) for name in _OF_CONSTRAINT}
    return {name: bound for name, bound in bounds.items() if bound is not None} | dict(constraint.options)


def _direction(key: str, raw: Any) -> Direction:
    for direction in DIRECTIONS:
        if raw == direction:
            return direction
    raise SpecError(f"{key}.direction must be {either(DIRECTIONS)}, got {quoted(raw)}")


def _text(key: str, written: Mapping[Any, Any], name: str) -> str:
    if not isinstance(value := written.get(name), str):
        raise SpecError(f"{key}: must be text, got {quoted(value)}")
    return value


def _number(key: str, raw: Any) -> float | None:
    return None if raw is None else float(typed(key, raw, float))
