"""What a stored study and the one in a file differ in, and what can be done about it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from growlab.errors import UsageError
from growlab.preparation.storing import can_be_changed
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.study import Study

_MOST_KEYS = 5
_LONGEST = 60  # characters of a value


def differing(stored: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, stored value and other value of each key that differs, in the file's order; None: there is none."""
    for key in dict.fromkeys([*stored, *other]):
        before, now = stored.get(key), other.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from differing(before, now, f"{prefix}{key}.")
        elif before != now:
            yield f"{prefix}{key}", before, now


def not_the_same(stored: "Study", study: "Study", file: str, place: Sequence[str]) -> UsageError:
    """Make an error that says in which keys `study`, read from `file`, differs from the stored one of its name."""
    from growlab.study.column import study_to_mapping

    keys = list(differing(study_to_mapping(stored), study_to_mapping(study)))
    parts = [f"{key} is {shown(before)} there, {shown(now)} here" for key, before, now in keys[:_MOST_KEYS]]
    more = [f"and {len(keys) - _MOST_KEYS} more"] if len(keys) > _MOST_KEYS else []
    ways = [f"go on with the stored one: {command('study run', stored.name, options=place)}"]
    if len(keys) == 1 and can_be_changed(keys[0][0]):
        change = f"{keys[0][0]}={'' if keys[0][2] is None else json.dumps(keys[0][2])}"
        ways = [f"change the stored one: {command('study set', stored.name, change, options=place)}"]
    ways += ["make another with --name", f"or delete it: {command('study delete', stored.name, options=place)}"]
    return UsageError(
        f"study {stored.name!r} exists and is not the one in {file}: {'; '.join([*parts, *more])}. {'; '.join(ways)}"
    )


def stored_alone(name: str, overrides: Sequence[str], new_name: str, place: Sequence[str]) -> UsageError:
    """Make an error for --set or --name with a study that no file says: there is nothing to change them in."""
    asked = [f"--set {override}" for override in overrides] + ([f"--name {new_name}"] if new_name else [])
    change = next((each for each in overrides if can_be_changed(each.partition("=")[0])), "n_trials=N")
    return UsageError(
        f"study {name!r} is stored, and {', '.join(asked)} would change it: only how long it goes on can be, with "
        f"{command('study set', name, change, options=place)}. For another study give a file, and --name"
    )


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
