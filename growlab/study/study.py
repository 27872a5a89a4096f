"""A study: what to search, on which data, for how long. Read from YAML by growlab.study.file.

A study is explicit once read: every default is written into it, so that a stored study
means the same under a later growlab.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from growlab.domains import Domain, Fixed, Value
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.layout import OptionValue
from growlab.scalar import defaults_of, scalars_of
from growlab.specs import BudgetSpec, DataSpec, GrowthSpec, StageSpec, TrainSpec, require_curriculum

MAX_TRIALS = 10**9  # their numbers are 32-bit integers in SQL

SEARCHED: Mapping[str, type[Any]] = {"train": TrainSpec, "growth": GrowthSpec}  # sections whose values may be searched
PLAIN = "plain"  # no front end or head of a layout's own


@dataclass(frozen=True, kw_only=True)
class FromLayer:
    """Which sequence mixers stand where: attention below layer k, say, and SSMs from there on.

    Layers are counted from 0 at the input side, one for each sequence mixer.
    """

    layer: tuple[int, ...]  # k is one of these
    below: tuple[str, ...]  # entries of layouts.blocks that may stand in the layers below k
    above: tuple[str, ...]  # … in layer k and above it


@dataclass(frozen=True, kw_only=True)
class LayoutSpace:
    """Which layouts may be drawn."""

    # kind, or a nest such as mix(attn,ssm) -> option -> the values to draw from; an option left out is drawn from its
    # kind's own list
    blocks: Mapping[str, Mapping[str, tuple[OptionValue, ...]]]
    d_model: tuple[int, ...]
    depth: tuple[int, int]  # blocks at the start of training, fewest and most
    front: tuple[str, ...] = (PLAIN,)  # front ends to draw from, such as patch[size=4]
    head: tuple[str, ...] = (PLAIN,)  # heads to draw from
    from_layer: FromLayer | None = None
    start_with: tuple[str, ...] = ()  # layouts to try first
    max_params: int = 0  # 0: no limit


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Lower is better for all of them."""

    metric: Literal["val_loss", "best_val_loss", "bits_per_byte"] = "val_loss"


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    startup_trials: int = 8  # drawn at random before anything is learnt
    population: int = 20  # youngest trials that may have children
    tournament: int = 5  # parents compete in groups of this size
    tries: int = 200  # draws before the space is called exhausted
    grid: bool = False  # begin with every layout of start_with at every combination of the choices
    # such as {train: {lr: 1e-3}}: what the trials of layouts.start_with take of that which is searched
    start_with: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    name: str
    data: DataSpec  # the two hashes are filled in when the study is created, and dtype where it is auto
    layouts: LayoutSpace
    budget: BudgetSpec
    n_trials: int
    train: Mapping[str, Domain] = field(default_factory=lambda: defaults_of(TrainSpec))
    growth: Mapping[str, Domain] = field(default_factory=lambda: defaults_of(GrowthSpec))
    objective: Objective = Objective()
    sampler: SamplerSpec = SamplerSpec()
    curriculum: tuple[StageSpec, ...] = ()  # the same for every trial; its hashes are filled in likewise
    seed: int = 0

    def __post_init__(self) -> None:
        require_curriculum(self.curriculum)
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.name):  # it names a folder and stands on command lines
            raise SpecError(
                f"name must begin with a letter or digit and hold at most 100 letters, digits, '.', '_' and '-', "
                f"got {quoted(self.name)}"
            )
        if not 1 <= self.n_trials <= MAX_TRIALS:
            raise SpecError(f"n_trials must be between 1 and {MAX_TRIALS}, got {self.n_trials}")

    def starts(self) -> dict[str, Value]:
        """Values of searched scalars for the layouts to start with, by full name; what the study fixes stays fixed."""
        sections = self.sampler.start_with.items()
        given = {f"{part}.{key}": value for part, keys in sections for key, value in keys.items()}
        searched = {name for name, domain in self.scalars().items() if not isinstance(domain, Fixed)}
        return {name: value for name, value in given.items() if name in searched}

    def scalars(self) -> dict[str, Domain]:
        """All train.* and growth.* domains by their full name, in a fixed order."""
        sections = {"train": self.train, "growth": self.growth}
        return {f"{part}.{key}": domain for part, keys in sections.items() for key, domain in sorted(keys.items())}


def search_ranges() -> dict[str, Domain]:
    """What `search` means, by full name, of every value that has a range of its own."""
    return {
        f"{section}.{key}": known.search
        for section, spec in SEARCHED.items()
        for key, known in scalars_of(spec).items()
        if known.search
    }
