"""What `--set key.path=value` changes in a study file before it is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.specs import BUDGET_UNITS
from growlab.study.limits_section import STUDY
from growlab.study.objectives_section import OBJECTIVE, OBJECTIVES
from growlab.study.paths import absolute, is_path
from growlab.yaml_file import MAX_DEPTH, parse_yaml

_DATA_TEXTS = ("path", "sha256", "tokenizer_path", "tokenizer_sha256")  # as typed, though 12e3 looks like a number

_INSTEAD_OF = {OBJECTIVE: OBJECTIVES, OBJECTIVES: OBJECTIVE}  # a study has one of them: the other one gives way

# sections whose keys have dots: growth, where a part may be a name so far, or stand in a list; tune, for full names
_OF_DOTTED = (["growth"], ["tune"])


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
    if parents[:1] in _OF_DOTTED and len(parents) > 1:
        parents, last = parents[:1], ".".join([*parents[1:], last])
    section = _section(raw, parents, override)
    if not isinstance(section, dict):
        raise SpecError(f"--set {quoted(override)}: {quoted(last)} must be a key of what stands in the list")
    try:
        section[last] = parse_yaml(text)
    except SpecError as error:
        raise SpecError(f"--set {quoted(override)}: {error}") from None
    if parents == ["budget"] and last in BUDGET_UNITS:  # the other unit in the file gives way
        raw["budget"] = {key: section[key] for key in (STUDY, last) if key in section}
    if (said := [*parents, last][0]) in _INSTEAD_OF:
        raw.pop(_INSTEAD_OF[said], None)
    if parents == ["data"] and last in _DATA_TEXTS:  # a path is said here: from the folder we are in
        section[last] = absolute(Path.cwd(), text) if text and is_path(section.get("source"), last) else text
    if parents[:1] == ["curriculum"] and last == "path":
        data = raw.get("data")
        source = data.get("source") if isinstance(data, dict) else None
        section[last] = absolute(Path.cwd(), text) if text and is_path(source, last) else text


def _section(raw: dict[str, Any], parents: list[str], override: str) -> Any:
    if parents == ["sampler"] and isinstance(raw.get("sampler"), str):  # a word is short for its name
        raw["sampler"] = {"name": raw["sampler"]}
    section: Any = raw
    for parent in parents:
        section = _entered(section, parent, override)
    return section


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
