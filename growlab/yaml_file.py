"""YAML that anybody may have written, read within limits that no sound file comes near, and written back.

A file of a kilobyte can name one list a billion times, or be ten thousand brackets deep. So the parser's events are
counted first, which builds nothing; only what is within every limit is made into values.
"""

import re
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from growlab.errors import SpecError
from growlab.escapes import has_controls, quoted
from growlab.files import read_regular

MAX_BYTES = 256_000  # of a file
MAX_DEPTH = 50  # collections in one another, aliases written out
MAX_VALUES = 50_000  # keys, values and collections, aliases written out
MAX_CHARACTERS = 4 * MAX_BYTES  # of all keys and values, aliases written out
MAX_DIGITS = 100  # of a number; Python itself refuses some thousands
_SMALL = 16_000  # characters that the parser written in Python reads in a fraction of a second

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_SCALAR_SLIPS = (ValueError, KeyError, AttributeError, OverflowError)  # of PyYAML: !!int abc, !!bool so, 2026-13-45


class MalformedYaml(SpecError):
    """An error of the parser, in one line."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises SpecError for a file that is missing, no regular one, too large or malformed."""
    try:
        raw = parse_yaml(_text_of(path))
    except MalformedYaml as error:
        raise SpecError(f"is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise SpecError(f"must be a mapping of sections such as 'data:' and 'layouts:', got a {type(raw).__name__}")
    return raw


def parse_yaml(text: str) -> Any:
    """Read the value that a YAML text holds.

    Raises MalformedYaml, also for repeated keys, and SpecError for any limit.
    """
    try:
        return _load(text, LOADER)
    except yaml.YAMLError as error:
        raise MalformedYaml(" ".join(str(error).split())) from None
    except UnicodeEncodeError as error:
        raise SpecError(f"has half a surrogate pair at character {error.start}, which is no text") from None


def _load(text: str, loader: Any) -> Any:
    try:
        _require_small(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)
    except yaml.YAMLError:
        if loader is PYTHON_LOADER or len(text) > _SMALL:
            raise
    return _load(text, PYTHON_LOADER)  # libyaml refuses a few spellings that it reads, such as {conv:}


def yaml_text(value: Any) -> str:
    """Write values as YAML, keys in their order; letters stay letters unless some character would do harm."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return yaml.safe_dump(value, sort_keys=False, width=10_000) if has_controls(text) else text


def _text_of(path: Path) -> str:
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise SpecError("no such file") from None
    except OSError as error:
        raise SpecError(f"cannot be read as text: {error.strerror or error}") from None
    except ValueError as error:  # not UTF-8; a path with a NUL
        raise SpecError(f"cannot be read as text: {error}") from None


# ---- limits ------------------------------------------------------------------------------------------------------


class _Extent(NamedTuple):
    """The size of a value, its aliases written out."""

    values: int = 1
    characters: int = 0
    depth: int = 0  # collections in one another

    def with_inner(self, inner: "_Extent") -> "_Extent":
        depth = self.depth if self.depth > inner.depth else inner.depth + 1
        return _Extent(self.values + inner.values, self.characters + inner.characters, depth)

    @property
    def problem(self) -> str:
        """Name the limit that the value breaks; '' for none."""
        if self.depth > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} deep"
        if self.values > MAX_VALUES:
            return f"holds more than {MAX_VALUES:,} values, its aliases written out"
        if self.characters > MAX_CHARACTERS:
            return f"holds more than {MAX_CHARACTERS:,} characters, its aliases written out"
        return ""


def _require_small(events: Iterable[Any]) -> None:
    """Raise SpecError for a text beyond a limit, before the rest of it is read; yaml.YAMLError passes."""
    named: dict[str, _Extent] = {}  # by anchor
    open_: list[tuple[str | None, _Extent]] = [(None, _Extent())]  # the collections that we are in
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, _Extent()))
            if len(open_) > MAX_DEPTH + 1:
                raise _too_much(_Extent(depth=len(open_)).problem, event)
            continue
        if isinstance(event, yaml.ScalarEvent):
            anchor, extent = event.anchor, _Extent(characters=len(event.value))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, extent = open_.pop()
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_):
                raise _too_much(f"has no end: the alias *{event.anchor} stands inside of what it names", event)
            anchor, extent = None, named.get(str(event.anchor), _Extent())
        else:
            continue
        if anchor is not None:
            named[anchor] = extent
        outer_anchor, outer = open_[-1]
        open_[-1] = (outer_anchor, outer := outer.with_inner(extent))
        if outer.problem:
            raise _too_much(outer.problem, event)


def _too_much(problem: str, event: Any) -> SpecError:
    return SpecError(f"{problem} (line {event.start_mark.line + 1}); write less into it")


# ---- values ------------------------------------------------------------------------------------------------------


def _require_sound(node: yaml.ScalarNode) -> None:
    """Raise yaml.YAMLError for a number without end and for what is no text."""
    if node.tag.endswith((":int", ":float")) and (n_digits := len(node.value)) > MAX_DIGITS:
        raise yaml.YAMLError(f"a number of {n_digits:,} digits, at most {MAX_DIGITS},{node.start_mark}")
    if _HALF_A_PAIR.search(node.value):
        raise yaml.YAMLError(f"{quoted(node.value)} has half a surrogate pair, which is no text,{node.start_mark}")


def loader_on(base: Any) -> Any:
    """Make a safe loader of PyYAML that reads 1e-3 as a number, and refuses repeated keys and endless numbers."""

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = set[Hashable]()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":
                    continue
                key = self.construct_object(key_node, deep=True)
                if isinstance(key, Hashable):  # what is not, the base refuses
                    if key in keys:
                        raise yaml.YAMLError(f"key {quoted(key)} is written twice,{key_node.start_mark}")
                    keys.add(key)
            mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
            return mapping

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            if isinstance(node, yaml.ScalarNode):
                _require_sound(node)
            try:
                return super().construct_object(node, deep)
            except _SCALAR_SLIPS:
                tag = node.tag.rpartition(":")[2]
                raise yaml.YAMLError(f"cannot read {quoted(node.value)} as {tag},{node.start_mark}") from None

    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )
    return Loader


PYTHON_LOADER = loader_on(yaml.SafeLoader)
LOADER = loader_on(yaml.CSafeLoader) if yaml.__with_libyaml__ else PYTHON_LOADER  # libyaml is ten times as fast
