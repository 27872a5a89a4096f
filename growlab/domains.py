"""What a study may say of one number or name: a fixed value, a list of choices, or a range."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from growlab.errors import SpecError, did_you_mean
from growlab.escapes import quoted

Value = bool | int | float | str


class Rising(str):
    """Numbers that rise, in one text, '0.05 0.1': a list in a study file would be a choice between them."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """The numbers, in their order."""
        return tuple(map(float, self.split()))

    @classmethod
    def read(cls, key: str, raw: object) -> "Rising":
        """Read 0.05, '0.05 0.1' or '0.05, 0.1'. Raises SpecError."""
        text = str(raw) if isinstance(raw, str | int | float) and not isinstance(raw, bool) else ""
        try:
            numbers = [float(word) for word in text.replace(",", " ").split()]
        except ValueError:
            numbers = []
        if not numbers or numbers != sorted(set(numbers)):
            raise SpecError(f"{key} must be a number, or numbers that rise such as '0.05 0.1', got {quoted(raw)}")
        return cls(" ".join(map(str, numbers)))


@dataclass(frozen=True, kw_only=True)
class Fixed:
    value: Value


@dataclass(frozen=True, kw_only=True)
class Choice:
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from low to high, both included; `log` spreads them evenly in their logarithm.

    With a best guess, random draws are normal around it on that scale, cut off at both ends.
    """

    low: float
    high: float
    log: bool = False
    best_guess: float | None = None
    confidence: str = ""  # one of CONFIDENCES where there is a guess


CONFIDENCES = {"low": 0.3, "medium": 0.15, "high": 0.07}  # standard deviations, as shares of the range

Domain = Fixed | Choice | Range


def read_domain(key: str, raw: object, expected: type, default_range: Domain | None) -> Domain:
    """Read what a study file says under `key`: 3 | [1, 2, 3] | {low: 1, high: 9, log: true} | search.

    Every value is checked to be of the type `expected`. Raises SpecError with the key.
    """
    if raw == "search":
        if default_range is None:
            raise SpecError(f"{key}: 'search' has no default range here; write {{low: …, high: …}} or a list")
        return default_range
    if isinstance(raw, dict):
        return _read_range(key, raw, expected)
    if isinstance(raw, list):
        if not raw:
            raise SpecError(f"{key}: an empty list leaves nothing to choose from")
        return Choice(values=tuple(typed(key, item, expected) for item in raw))
    return Fixed(value=typed(key, raw, expected))


def write_domain(domain: Domain) -> Any:
    """Write a domain as read_domain reads it."""
    match domain:
        case Fixed():
            return domain.value
        case Choice():
            return list(domain.values)
        case Range():
            guess = {"best_guess": domain.best_guess, "confidence": domain.confidence}
            return {"low": domain.low, "high": domain.high, "log": domain.log} | (guess if domain.confidence else {})


def domain_of(key: str, written: Any) -> Domain:
    """Read what write_domain wrote, without asking what each value is. Raises SpecError for what it never writes."""
    if isinstance(written, dict):
        if set(written) - {"best_guess", "confidence"} != {"low", "high", "log"}:
            raise SpecError(f"{key}: a range needs low, high and log, got {quoted(written)}")
        return Range(**written)
    if isinstance(written, list):
        return Choice(values=tuple(written))
    if not isinstance(written, Value):
        raise SpecError(f"{key}: must be a value, a list or a range, got {quoted(written)}")
    return Fixed(value=written)


def value_type(domain: Domain) -> type:
    """The type of every value of a domain: bool, int, float or str."""
    return type(corners(domain)[0])


def corners(domain: Domain) -> Sequence[Value]:
    """The values at which a spec is tried out when a study is read."""
    match domain:
        case Fixed():
            return (domain.value,)
        case Choice():
            return domain.values
        case Range():
            return (domain.low, domain.high)


def numbers(domain: Domain) -> list[float]:
    """The corners of a domain of numbers."""
    return [float(value) for value in corners(domain)]


def lowest(domain: Domain) -> float:
    """The lowest number that may be drawn."""
    return min(numbers(domain))


def highest(domain: Domain) -> float:
    """The highest number that may be drawn."""
    return max(numbers(domain))


def admits(domain: Domain, value: object) -> bool:
    """Whether a domain allows a value to be drawn."""
    match domain:
        case Range():
            numbers = int if value_type(domain) is int else (int, float)
            return isinstance(value, numbers) and domain.low <= value <= domain.high
        case Choice():
            return value in domain.values
        case Fixed():
            return value == domain.value


def _read_range(key: str, raw: dict[object, object], expected: type) -> Range:
    known = ("low", "high", "log", "best_guess", "confidence")
    for name in raw:
        if name not in known:
            raise SpecError(f"{key}.{name}: unknown key.{did_you_mean(str(name), known)}")
    if "low" not in raw or "high" not in raw:
        raise SpecError(f"{key}: a range needs low and high, got {quoted(raw)}")
    if expected not in (int, float):
        raise SpecError(f"{key}: a range needs numbers, but {key} is a {expected.__name__}; write a list of choices")
    low, high = (typed(f"{key}.{end}", raw[end], expected) for end in ("low", "high"))
    log = raw.get("log", False)
    if not isinstance(log, bool):
        raise SpecError(f"{key}.log must be true or false, got {log!r}")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low <= high:
        raise SpecError(f"{key}: low must not exceed high, got low {low} and high {high}")
    if log and low <= 0:
        raise SpecError(f"{key}: a logarithmic range needs low greater than 0, got {low}")
    return _with_guess(key, raw, Range(low=low, high=high, log=log), expected)


def _with_guess(key: str, raw: dict[object, object], domain: Range, expected: type) -> Range:
    if "best_guess" not in raw:
        if "confidence" in raw:
            raise SpecError(f"{key}.confidence is that of a best_guess; write one, or leave it out")
        return domain
    guess, confidence = typed(f"{key}.best_guess", raw["best_guess"], expected), raw.get("confidence", "medium")
    assert isinstance(guess, int | float)
    if not domain.low <= guess <= domain.high:
        raise SpecError(f"{key}.best_guess must be between low {domain.low} and high {domain.high}, got {guess}")
    if confidence not in CONFIDENCES:
        raise SpecError(f"{key}.confidence must be {', '.join(CONFIDENCES)}, got {quoted(confidence)}")
    return replace(domain, best_guess=guess, confidence=str(confidence))


def typed(key: str, raw: object, expected: type) -> Value:
    """Read one value of the expected type: a whole number for a float, 1e3 for a whole number. Raises SpecError."""
    if issubclass(expected, Rising):
        return expected.read(key, raw)
    if expected is float and isinstance(raw, str):
        raw = _number_from_text(raw)  # YAML 1.1 reads 1e-3 as a string
    if expected in (int, float) and isinstance(raw, int) and not isinstance(raw, bool):
        with suppress(OverflowError):  # of an int that no float holds
            return expected(raw)
    if expected is int and isinstance(raw, float) and raw.is_integer():
        return int(raw)
    if type(raw) is not expected or (isinstance(raw, float) and not math.isfinite(raw)):
        remedy = in_quotes(key, raw) if expected is str else ""
        raise SpecError(f"{key} must be {_TYPE_NAMES[expected]}, got {quoted(raw)}{remedy}")
    assert isinstance(raw, bool | int | float | str)
    return raw


def in_quotes(key: str, raw: object) -> str:
    """A remedy such as '; write name: "2024-11-05"' for a text that YAML reads as something else, or nothing."""
    name = key.rpartition(".")[2]
    if isinstance(raw, bool):
        return f'; yes, no, on and off are {str(raw).lower()} in YAML unless they are in quotes: write {name}: "…"'
    if isinstance(raw, date):  # and a time of a day
        return f'; write {name}: "{raw.isoformat()}"'
    if isinstance(raw, int | float):
        return f'; write it as it was, in quotes: {name}: "{raw}"'
    return ""


def sort_of(raw: object) -> str:
    """Name what YAML made of a value, for a message: 'a date', 'nothing', else the value."""
    if isinstance(raw, date):
        return "a date"
    return "nothing" if raw is None else repr(raw)


def _number_from_text(raw: str) -> float | str:
    try:
        return float(raw)
    except ValueError:
        return raw


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
