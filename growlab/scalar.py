"""A value that a study can set, declared once: on the field of the spec that holds it.

    lr: float = scalar(3e-3, above=0, search=Range(low=3e-4, high=1e-2, log=True), help="peak learning rate of AdamW")

What a silent study gets, what `search` means, what is refused, what a row written before the key existed means, and the
key's line in the reference all come from there. A spec's constructor has no default: a stored trial says all it needs.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, TypeVar

from growlab import errors
from growlab.domains import Domain, Fixed, Rising, Value
from growlab.errors import SpecError
from growlab.escapes import quoted

Spec = TypeVar("Spec")


@dataclass(frozen=True, kw_only=True)
class Scalar:
    """Everything that is known of one value. Bounds that are None bind nothing."""

    name: str
    type: type
    help: str  # a line for the reference, with the unit
    default: Value  # of a study that is silent
    search: Domain | None  # what `search` means; None: a study must write a range or a list
    at_least: float | None
    above: float | None
    at_most: float | None
    below: float | None
    choices: tuple[str, ...]  # () where any text may stand
    why: str  # no less than at_least will do
    since: str  # the version of growlab that brought it; '' for the first
    before: Value | None  # of a row written before that; moves never, whatever the default becomes

    @cached_property
    def expected(self) -> str:
        """Say in words what the bounds ask for."""
        if self.choices:
            return either(self.choices)
        low = _bound("at least", self.at_least) or _bound("greater than", self.above)
        high = _bound("at most", self.at_most) or _bound("below", self.below)
        if low and high and (self.at_least is None) == (self.at_most is None):  # both are reached, or neither is
            low, high = f"between {low.split()[-1]}", high.split()[-1]
        return " and ".join(filter(None, (low, high))) or "a finite number"

    def nearest(self, number: float) -> float:
        """The number, whole where the value is, or the bound beyond which it lies, if that may be reached."""
        low = number if self.at_least is None else max(number, self.at_least)
        held = low if self.at_most is None else min(low, self.at_most)
        return round(held) if self.type is int else held

    def admits(self, number: float) -> bool:
        """Whether a number is within the bounds."""
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )

    def check(self, section: str, value: Any) -> None:
        """Raise SpecError unless the value, or each number of several, is finite and within the bounds."""
        for number in value.numbers if isinstance(value, Rising) else (value,):
            self._check_one(section, number)

    def _check_one(self, section: str, value: Any) -> None:
        key = f"{section}.{self.name}"
        require(not isinstance(value, float) or math.isfinite(value), key, "a finite number", value)
        require(not self.choices or value in self.choices, key, self.expected, value)
        expected = self.expected
        if self.why and self.at_least is not None:
            require(value >= self.at_least, key, f"at least {self.at_least} ({self.why})", value)
            expected = _bound("at most", self.at_most)
        require(self.admits(value), key, expected, value)


def scalar(
    default: Value,
    *,
    help: str,
    search: Domain | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: tuple[str, ...] = (),
    why: str = "",
    since: str = "",
    before: Value | None = None,
) -> Any:
    """Declare a field of a spec. A value may equal `at_least` and `at_most`, but not `above` and `below`."""
    assert bool(since) == (before is not None), "who comes later says what rows before meant"
    declared = {
        "default": default,
        "help": help,
        "search": search,
        "at_least": at_least,
        "above": above,
        "at_most": at_most,
        "below": below,
        "choices": choices,
        "why": why,
        "since": since,
        "before": before,
    }
    return field(metadata={"scalar": declared})


def setting(
    *, help: str, type: str, range: str = "", default: Any = MISSING, factory: Callable[[], Any] | None = None
) -> Any:
    """Declare a field that a study alone has, and no trial: a file may leave it out where it has a default.

    `type` and `range` say in words what it takes.
    """
    about = {"help": help, "type": type, "range": range}
    if factory is not None:
        return field(default_factory=factory, metadata=about)
    return field(metadata=about) if default is MISSING else field(default=default, metadata=about)


_KNOWN: dict[type[Any], Mapping[str, Scalar]] = {}


def scalars_of(spec: type[Any]) -> Mapping[str, Scalar]:
    """The values of a spec by name, in the order of its fields."""
    if spec not in _KNOWN:
        _KNOWN[spec] = _read_scalars(spec)
    return _KNOWN[spec]


def _read_scalars(spec: type[Any]) -> Mapping[str, Scalar]:
    declared = {
        value.name: (value.type, value.metadata["scalar"]) for value in fields(spec) if "scalar" in value.metadata
    }
    return {name: Scalar(name=name, type=annotation, **about) for name, (annotation, about) in declared.items()}  # type: ignore[arg-type]


def default_values(spec: type[Any]) -> dict[str, Any]:
    """The values that a study gets whose file is silent."""
    return {name: known.default for name, known in scalars_of(spec).items()}


def defaults_of(spec: type[Any]) -> dict[str, Domain]:
    """The default values of a spec as domains."""
    return {name: Fixed(value=value) for name, value in default_values(spec).items()}


def before_of(spec: type[Any]) -> dict[str, Value]:
    """The values of keys that a row lacks because it was written before them."""
    return {name: known.before for name, known in scalars_of(spec).items() if known.before is not None}


def with_defaults(spec: type[Spec], **given: Any) -> Spec:
    """Make a spec of what is given, and of defaults for the rest."""
    return spec(**default_values(spec) | given)


def check_scalars(section: str, spec: object) -> None:
    """Raise SpecError for the first value that is out of its bounds."""
    for name, known in scalars_of(type(spec)).items():
        known.check(section, getattr(spec, name))


def require(condition: bool, key: str, expected: str, got: object) -> None:
    """Raise SpecError, which says what was expected of the key and what it got, unless the condition holds."""
    if not condition:  # a search makes thousands of specs: nothing is quoted of what is right
        errors.require(condition, key, expected, quoted(got), SpecError)


def either(names: tuple[str, ...]) -> str:
    """Join names for a message: 'a', 'a or b', 'a, b or c'."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _bound(relation: str, bound: float | None) -> str:
    return "" if bound is None else f"{relation} {bound}"
