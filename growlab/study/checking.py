"""One value of a dataclass's type from plain data, or a SpecError with the path of what is wrong."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from datetime import date
from typing import Any, TypeVar, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from growlab.domains import in_quotes, sort_of
from growlab.errors import SpecError
from growlab.study.keys import hint

T = TypeVar("T")

_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # making one takes milliseconds


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        for each in _specs_in(kind):
            each.__pydantic_config__ = ConfigDict(extra="forbid")
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _specs_in(kind: type[Any]) -> list[type[Any]]:
    """A spec and the specs that its fields hold, one or a tuple of them."""
    if not hasattr(kind, "__dataclass_fields__"):
        return []
    held = [one for each in fields(kind) for one in (get_args(each.type) or (each.type,)) if isinstance(one, type)]
    return [kind, *(deeper for each in held for deeper in _specs_in(each))]


def validated(key: str, raw: Any, kind: type[T]) -> T:
    try:
        value: T = _adapter(kind).validate_json(json.dumps(raw), strict=True)
        return value
    except ValidationError as error:
        raise SpecError(_in_words(key, error, kind)) from None
    except TypeError as error:  # json: a YAML date, or a key that is a tuple
        for path, written in _dates(key, raw):
            raise SpecError(f"{path}: must be no date, got {written}{in_quotes(path, written)}") from None
        raise SpecError(f"{key}: {error}") from None


def _dates(path: str, raw: object) -> Iterator[tuple[str, date]]:
    """What YAML took for a date, with its path."""
    if isinstance(raw, date):
        yield path, raw
    inner = raw.items() if isinstance(raw, Mapping) else enumerate(raw) if isinstance(raw, list) else ()
    for key, value in inner:
        yield from _dates(f"{path}.{key}", value)


def _in_words(key: str, error: ValidationError, kind: type[Any]) -> str:
    first = error.errors()[0]
    path = ".".join([key, *(str(part) for part in first["loc"])])
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = [each.name for spec in _specs_in(kind) for each in fields(spec)]
        section, _, last = path.removeprefix("trial.").rpartition(".")
        return f"{path}: unknown key.{hint(section, last, known)}"
    if missing := [each for each in error.errors() if each["type"] in _MISSING]:
        return are_missing(".".join([key, *(str(part) for part in each["loc"])]) for each in missing)
    if first["type"] == "string_type":
        return f"{path}: must be text, got {sort_of(first['input'])}{in_quotes(path, first['input'])}"
    if isinstance(cause := first.get("ctx", {}).get("error"), SpecError):
        return str(cause)
    if first["loc"] and first["loc"][-1] in ("bool", "int", "float", "str"):  # no member of OptionValue fits
        return f"{path.rpartition('.')[0]}: must be a number, a word, true or false, got {first['input']!r}"
    return f"{path}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"


_MISSING = ("missing", "missing_keyword_only_argument")


def are_missing(paths: Iterable[str]) -> str:
    """'name: is missing', 'name, budget: are missing'."""
    named = list(paths)
    return f"{', '.join(named)}: {'are' if len(named) > 1 else 'is'} missing"


def require_mapping(key: str, raw: object) -> Mapping[Any, Any]:
    if not isinstance(raw, Mapping):
        raise SpecError(f"{key}: must be a mapping, got {raw!r}")
    return raw


def refuse_unknown(prefix: str, raw: object, known: Iterable[str]) -> None:
    known = list(known)
    for key in require_mapping(prefix.rstrip("."), raw):
        if key not in known:
            raise SpecError(f"{prefix}{key}: unknown key.{hint(prefix.rstrip('.'), str(key), known)}")


def as_list(value: Any) -> list[Any]:
    """A value where a list of one may be written without brackets."""
    return value if isinstance(value, list) else [value]
