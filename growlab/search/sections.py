"""The sections of a trial, from the domains of a study and the scalars that were drawn for it."""

from collections.abc import Mapping
from typing import Any

from growlab.domains import Domain, Fixed, Value, corners
from growlab.specs import GrowthSpec, TrainSpec
from growlab.study import Study
from growlab.study.growth_section import growth_spec


def train_of(study: Study, params: Mapping[str, Value]) -> TrainSpec:
    return TrainSpec(**_section("train", study.train, params))


def growth_of(study: Study, params: Mapping[str, Value]) -> GrowthSpec:
    """The plan as the study says it: a max_depth of 0 stays one, and no operator's option is cut to its window."""
    return growth_spec(_section("growth", study.growth, params))


def _section(name: str, domains: Mapping[str, Domain], params: Mapping[str, Value]) -> dict[str, Any]:
    """Every key of a section with its final value: the fixed one, else the drawn one, else, as it does not act, any."""
    return {
        key: domain.value if isinstance(domain, Fixed) else params.get(f"{name}.{key}", corners(domain)[0])
        for key, domain in domains.items()
    }
