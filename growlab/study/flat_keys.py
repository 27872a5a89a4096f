"""Options of growth as they were written before triggers and operators had sections of their own: growth.tau_crit.

A file may still say so, and rows of the first schemas do. Never to be changed: new options have no flat name.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

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
FLAT_KEYS = tuple(_FLAT)


def places(key: str, named: Collection[str]) -> list[str]:
    """Where a flat key of the growth section stands: in each part that is `named` ('trigger.stagnation') and has it.

    Where none of them has, in the first that could.
    """
    parts, _ = _FLAT[key]
    return [f"{part}.{key}" for part in [part for part in parts if part in named] or parts[:1]]


def opened(growth: Mapping[str, Any], named: Collection[str]) -> dict[str, Any]:
    """The growth section with its flat keys where they stand now.

    A value that acts nowhere is left out where it is the one that silence meant.
    """
    found: dict[str, Any] = {}
    for key, value in growth.items():
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
    for key in FLAT_KEYS:
        if (flat := f"growth.{key}") in drawn:
            value = drawn.pop(flat)
            possible = [f"growth.{part}.{key}" for part in _FLAT[key][0]]
            chosen = f"growth.operator.{drawn.get('growth.operator')}.{key}"
            among = [name for name in possible if name in names]
            drawn[chosen if chosen in among else (among or possible)[0]] = value
    return drawn
