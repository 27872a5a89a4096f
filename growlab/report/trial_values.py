"""The values that a trial was made with, by the full name of their key: what trials are grouped by."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from growlab.errors import UnknownName, UsageError
from growlab.escapes import quoted
from growlab.storage import TrialRow

TrialValue = str | int | float | bool | None  # None: the trial has no such key, as the option of another trigger


def values_of(trial: TrialRow, study: str) -> dict[str, TrialValue]:
    """Every value of a trial: study, seed, layout, train.lr, growth.trigger, growth.trigger.at.shares, budget.steps, …

    Searched, repeated and fixed ones alike, with what older rows meant. Raises StorageError for a damaged row.
    """
    spec = asdict(trial.spec)
    return {
        **{name: value for name, value in trial.params.items() if "." not in name},  # an ablation's: arm, stage, repeat
        "study": study,
        "seed": spec["seed"],
        "layout": trial.layout,
        **_section("train", spec["train"]),
        **dict(_growth(spec["growth"])),
        f"budget.{spec['budget']['unit']}": spec["budget"]["amount"],
        **_section("data", spec["data"]),
        "curriculum": json.dumps(spec["curriculum"]),
    }


def _section(name: str, values: Mapping[str, Any]) -> dict[str, TrialValue]:
    return {f"{name}.{key}": value for key, value in values.items()}


def _growth(growth: Mapping[str, Any]) -> Iterator[tuple[str, TrialValue]]:
    """The scalars, the names of the parts, and the options of each part below its name."""
    for key, value in growth.items():
        if not isinstance(value, Mapping):
            yield f"growth.{key}", value
            continue
        yield f"growth.{key}", value["name"]
        for option, chosen in value["options"].items():
            yield f"growth.{key}.{value['name']}.{option}", chosen


def full_key(key: str, known: Collection[str], what: str = "key") -> str:
    """The full name of a key, or of `what` it is of, of which the last parts do where no other one ends so.

    Raises UnknownName, and UsageError where several do.
    """
    if key in known:
        return key
    ending = sorted(name for name in known if name.endswith(f".{key}"))
    if len(ending) > 1:
        raise UsageError(f"{quoted(key)} may be {', '.join(ending)}; write one of them in full")
    if not ending:
        raise UnknownName(what, key, known)
    return ending[0]


def varying(trials: Sequence[Mapping[str, TrialValue]], beside: str) -> list[str]:
    """The keys of which these trials have several values, but for `beside`, what belongs to it, study and seed."""
    keys = dict.fromkeys(key for values in trials for key in values)
    others = (key for key in keys if key not in ("study", "seed", beside) and not key.startswith(f"{beside}."))
    return [key for key in others if len({values.get(key) for values in trials}) > 1]


def value_text(value: TrialValue) -> str:
    """A value as a study file has it: '0.003', 'true', 'stack'; '–' where there is none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def is_meant(text: str, value: TrialValue) -> bool:
    """Whether a person's word means this value: as it is shown, or as a number that is equal."""
    if text == value_text(value):
        return True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return float(text) == value
    except ValueError:
        return False
