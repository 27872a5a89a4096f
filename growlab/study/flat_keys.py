"""Keys of growth as they were written before: options of triggers and operators without a section, preserve_function.

A file may still say so, and rows of the first schemas do. Never to be changed: new options have no flat name.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from growlab.errors import SpecError
from growlab.escapes import quoted

_STAGNATION = ("trigger.stagnation",)
_AIETHER = ("operator.aiether", "operator.aiether-code")

# Key to where it stands now, and the default that a study got which was silent.
_FLAT: Mapping[str, tuple[tuple[str, ...], float]] = {
    "patience": (_STAGNATION, 5),
    "threshold": (_STAGNATION, 0.15),
    "tau_crit": (_STAGNATION, 2.0),
    "kappa_crit": (_STAGNATION, 0.5),
    "warmup_steps": (_STAGNATION, 400),
    "beta0": (_AIETHER, 0.1),
    "gamma0": (_AIETHER, 0.15),
    "eta0": (_AIETHER, 0.03),
    "k_subspace": (_AIETHER, 10),
    "ell_orth": (_AIETHER, 5),
}
_PRESERVE = "preserve_function"  # a unit entered as the identity, or as it was made: now growth.entry_scale
FLAT_KEYS = (*_FLAT, _PRESERVE)


def places(key: str, named: Collection[str]) -> list[str]:
    """Where a flat key of the growth section stands: in each part that is `named` ('trigger.stagnation') and has it.

    Where none of them has, in the first that could; [] for a key that stands where it always stood.
    """
    if key not in _FLAT:
        return []
    parts, _ = _FLAT[key]
    return [f"{part}.{key}" for part in [part for part in parts if part in named] or parts[:1]]


def opened(growth: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """The growth section with its flat keys where they stand now.

    A value that acts nowhere is left out where it is the one that silence meant.
    """
    found: dict[str, Any] = {}
    for key, value in growth.items():
        if key == _PRESERVE:
            found.setdefault("entry_scale", _entry_scale(value))
            continue
        if key not in _FLAT:
            found[key] = value
            continue
        for place in places(key, named):
            if place.rpartition(".")[0] in named or value != _FLAT[key][1]:
                found.setdefault(place, value)
    return found


def renamed(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What a sampler drew for a trial, by full name, under today's `names` of a study's scalars."""
    drawn = dict(params)
    if f"growth.{_PRESERVE}" in drawn:
        drawn["growth.entry_scale"] = _entry_scale(drawn.pop(f"growth.{_PRESERVE}"))
    for key in _FLAT:
        if (flat := f"growth.{key}") in drawn:
            value = drawn.pop(flat)
            possible = [f"growth.{part}.{key}" for part in _FLAT[key][0]]
            chosen = f"growth.operator.{drawn.get('growth.operator')}.{key}"
            among = [name for name in possible if name in names]
            drawn[chosen if chosen in among else (among or possible)[0]] = value
    return drawn


def _entry_scale(preserves: Any) -> Any:
    """The scale that a value of preserve_function meant, or a list of them. Raises SpecError for another value."""
    if isinstance(preserves, list):
        return [_entry_scale(value) for value in preserves]
    if preserves == "search":
        return preserves
    if not isinstance(preserves, bool):
        raise SpecError(
            f"growth.{_PRESERVE} must be true or false, got {quoted(preserves)}; today's name is growth.entry_scale, "
            "0 for true and 1 for false"
        )
    return float(not preserves)
