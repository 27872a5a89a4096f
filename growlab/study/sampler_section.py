"""The sampler section of a study: which sampler, and with what options.

    sampler: grid     sampler: {population: 10}     sampler: {name: random, start_with: {train: {lr: 1e-3}}}

Options stand beside the name, since a study has one sampler. A row has what was transferred from another study beside
them: {scalars: {NAME: DOMAIN}, trials: [[NUMBER, LAYOUT, PARAMS, VALUE], …]}.
"""

from collections.abc import Mapping
from typing import Any

from growlab.domains import Value, domain_of, write_domain
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.layout import OptionValue
from growlab.records import PastTrial, TrialState
from growlab.samplers import DEFAULT_SAMPLER, NAMELESS_SAMPLER, SAMPLERS
from growlab.scalar import default_values
from growlab.study.checking import refuse_unknown, require_mapping, validated
from growlab.study.study import SamplerSpec, Transferred

TRANSFER_FROM, TRANSFERRED = "transfer_from", "transferred"
_NOT_OPTIONS = ("name", "start_with", TRANSFER_FROM)


def read_sampler(raw: object) -> SamplerSpec:
    """The sampler that a study file asks for, defaults filled in. Raises NotRegistered or SpecError.

    Whether the values of `start_with` are such as the study searches is the caller's to ask.
    """
    written = _written(raw)
    name = written.get("name", DEFAULT_SAMPLER)
    if not isinstance(name, str):
        raise SpecError(f"sampler.name: must be the name of a sampler, {', '.join(SAMPLERS)}, got {quoted(name)}")
    sampler = SAMPLERS[name]
    silent = default_values(sampler.options)
    refuse_unknown("sampler.", written, [*_NOT_OPTIONS, *silent])
    options = sampler.read(silent | _options(written))
    return SamplerSpec(
        name=name,
        options={key: getattr(options, key) for key in silent},
        start_with=_start_with(written),
        transfer_from=_transfer_from(written),
    )


def stored_sampler(raw: object) -> SamplerSpec:
    """The sampler that a row asks for, also one from before samplers had names; no table is asked.

    Raises SpecError for a damaged row.
    """
    written = _written(raw)
    transferred = written.pop(TRANSFERRED, None)
    options = _options(written)
    for key, value in options.items():
        if not isinstance(value, Value):
            raise SpecError(f"sampler.{key}: must be a value, got {quoted(value)}")
    name = str(written.get("name", NAMELESS_SAMPLER))
    return SamplerSpec(
        name=name,
        options=options,
        start_with=_start_with(written),
        transfer_from=_transfer_from(written),
        transferred=None if transferred is None else _read_transferred(transferred),
    )


def write_sampler(sampler: SamplerSpec) -> dict[str, Any]:
    """The section as a row has it, and a file but for what was transferred."""
    written = {"name": sampler.name, **sampler.options, "start_with": sampler.start_with}
    if sampler.transfer_from:
        written[TRANSFER_FROM] = sampler.transfer_from
    if sampler.transferred is not None:
        written[TRANSFERRED] = _write_transferred(sampler.transferred)
    return written


def _write_transferred(transferred: Transferred) -> dict[str, Any]:
    return {
        "scalars": {name: write_domain(domain) for name, domain in transferred.scalars.items()},
        "trials": [[trial.number, trial.layout, trial.params, trial.value] for trial in transferred.trials],
    }


def _read_transferred(raw: object) -> Transferred:
    """What _write_transferred wrote. Raises SpecError for a damaged row."""
    section = f"sampler.{TRANSFERRED}"
    written = require_mapping(section, raw)
    scalars = require_mapping(f"{section}.scalars", written.get("scalars"))
    trials = validated(f"{section}.trials", written.get("trials"), list[tuple[int, str, dict[str, OptionValue], float]])
    return Transferred(
        scalars={name: domain_of(name, domain) for name, domain in scalars.items()},
        trials=tuple(
            PastTrial(number=number, state=TrialState.COMPLETED, layout=layout, params=params, value=value)
            for number, layout, params, value in trials
        ),
    )


def _written(raw: object) -> dict[str, Any]:
    """The section with its name under `name`. At first a grid was a flag: {grid: true}."""
    if isinstance(raw, str):
        return {"name": raw}
    written = dict(require_mapping("sampler", raw))
    if "grid" not in written:
        return written
    if "name" in written or not isinstance(written["grid"], bool):
        raise SpecError(f"sampler.grid: write name: grid in its place, got {quoted(written['grid'])}")
    return written | {"name": "grid"} if written.pop("grid") else written


def _options(written: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in written.items() if key not in _NOT_OPTIONS}


def _start_with(written: Mapping[str, Any]) -> dict[str, dict[str, OptionValue]]:
    return validated("sampler.start_with", written.get("start_with", {}), dict[str, dict[str, OptionValue]])


def _transfer_from(written: Mapping[str, Any]) -> str:
    return validated(f"sampler.{TRANSFER_FROM}", written.get(TRANSFER_FROM, ""), str)
