"""A thing with options of its own: a name in a registry, an options dataclass, and what is made of the options.

Triggers, operators and positions of growth (growlab.recipes) and samplers (growlab.samplers) are such. Their tables
stand in the foundation, so that what only reads or lists them needs neither torch nor Optuna. Options are a frozen,
keyword-only dataclass of growlab.scalar fields.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from growlab.domains import Value, typed
from growlab.errors import SpecError, did_you_mean
from growlab.scalar import before_of, check_scalars, scalars_of


@dataclass(frozen=True, kw_only=True)
class Named:
    """A part that a study or a trial asks for: its name and all of its options."""

    name: str
    options: Mapping[str, Value] = field(default_factory=dict)

    def written(self) -> str | dict[str, dict[str, Value]]:
        """Write it as a file and a row have it: name, or {name: options}."""
        return {self.name: dict(self.options)} if self.options else self.name


@dataclass(frozen=True, kw_only=True)
class Options:
    """No options at all; what the options of every part inherit."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A registered name. A slip in the declaration of its options is found where it is registered."""

    name: str
    section: str  # where its options stand in a study file: growth.trigger.stagnation
    summary: str
    options: type[Any]  # a subclass of Options
    make: Callable[..., Any]  # opaque here: the room that registered it calls it
    searched: bool = False  # whether `search` in place of a name draws it too

    def __post_init__(self) -> None:
        scalars_of(self.options)

    def read(self, options: Mapping[str, Value]) -> Any:
        """Make this part's dataclass of the options that a study or a row names.

        Raises SpecError for one that is unknown, missing, of another type or out of its bounds.
        """
        known, given = scalars_of(self.options), before_of(self.options) | dict(options)
        for key in given:
            if key not in known:
                raise SpecError(f"{self.section}.{key}: unknown key.{did_you_mean(key, known)}")
        for key in known:
            if key not in given:
                raise SpecError(f"{self.section}.{key}: is missing")
        read = self.options(**{key: typed(f"{self.section}.{key}", given[key], known[key].type) for key in known})
        check_scalars(self.section, read)
        return read
