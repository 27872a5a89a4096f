"""What a search decides of a trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from growlab.domains import Domain, Fixed, Value, admits
from growlab.errors import LayoutError, UnknownName
from growlab.kinds import Kind, complete
from growlab.layout import Layout, parse, without_hash
from growlab.records import PastTrial
from growlab.study.flat_keys import renamed


@dataclass(frozen=True)
class Configuration:
    """What a trial is made of, as far as a search decides it."""

    layout: Layout  # every option written out
    params: Mapping[str, Value]  # the searched scalars that act, by full name

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.layout, *sorted(self.params.items())))

    def __getstate__(self) -> dict[str, Any]:
        return without_hash(self)


def configuration_of(
    trial: PastTrial, domains: Mapping[str, Domain], kinds: Mapping[str, Kind]
) -> Configuration | None:
    """What a trial was made of, in today's words; None for a damaged row or for a block that is not known.

    `domains` are the study's scalars. A value that its domain does not admit is left out.
    """
    try:
        layout = complete(parse(trial.layout), kinds)
    except (LayoutError, UnknownName):
        return None
    params = {
        name: value
        for name, value in renamed(trial.params, domains).items()
        if not isinstance(domain := domains.get(name, Fixed(value=0)), Fixed) and admits(domain, value)
    }
    return Configuration(layout, params)
