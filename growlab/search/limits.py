"""What layouts.max_params and its like allow, and whether a layout stays within.

The largest model that a trial can become is what is counted, where the growth plan says how often it grows; but for
max_params, which is of the layout itself. What counts comes from the caller: this room knows no torch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from typing import Protocol, runtime_checkable

from growlab.domains import Value
from growlab.errors import UsageError
from growlab.kinds import Kind
from growlab.layout import Layout
from growlab.plan import final_layout
from growlab.search.sections import growth_of, train_of
from growlab.specs import GrowthSpec, TrainSpec
from growlab.study import Study

Measure = Callable[[Layout], int]  # the number of parameters of a layout


@runtime_checkable
class Costs(Protocol):
    """A Measure that knows more of a layout than its parameters, as growlab.model.cost.Costs does."""

    def __call__(self, layout: Layout) -> int: ...

    def flops_per_token(self, layout: Layout, seq_len: int) -> int: ...

    def state_size(self, layout: Layout, seq_len: int) -> int: ...

    def memory(self, layout: Layout, train: TrainSpec, window: int) -> int: ...


@dataclass(frozen=True)
class Trial:
    """What the costs of a layout depend on besides itself."""

    train: TrainSpec
    growth: GrowthSpec


@dataclass(frozen=True)
class Cap:
    """A key of layouts, and what it limits."""

    key: str
    unit: str
    amount: Callable[[Costs, Layout, Trial], int]  # of the largest model that a trial becomes


CAPS = (
    Cap("max_grown_params", "parameters", lambda costs, layout, trial: costs(layout)),
    Cap(
        "max_flops_per_token",
        "FLOPs per token",
        lambda costs, layout, trial: costs.flops_per_token(layout, trial.train.seq_len),
    ),
    Cap("max_state", "numbers of state", lambda costs, layout, trial: costs.state_size(layout, trial.train.seq_len)),
    Cap(
        "max_memory",
        "bytes of memory",
        lambda costs, layout, trial: costs.memory(layout, trial.train, trial.growth.history_window_size),
    ),
)
LIMITS = ("max_params", *(cap.key for cap in CAPS))


@dataclass(frozen=True)
class Excess:
    """A limit that a layout exceeds."""

    key: str
    limit: int
    amount: int
    unit: str
    layout: Layout  # as it begins

    def __str__(self) -> str:
        return f"has {self.amount} {self.unit}, more than layouts.{self.key} {self.limit}"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a study for a trial of which `params` are the scalars that are known."""

    study: Study
    kinds: Mapping[str, Kind]
    measure: Measure
    params: Mapping[str, Value] = field(default_factory=dict)
    memory_ratio: float = 1.0  # of what trials took to what was estimated (growlab.search.measured)

    def at(self, params: Mapping[str, Value]) -> "Limits":
        """The limits for a trial with these scalars, of which batch, length and growth plan decide what it costs."""
        return replace(self, params=params)

    def excess(self, layout: Layout) -> Excess | None:
        """The first limit that the layout exceeds."""
        space = self.study.layouts
        if space.max_params and (n_params := self.measure(layout)) > space.max_params:
            return Excess("max_params", space.max_params, n_params, "parameters", layout)
        caps = [(cap, limit) for cap in CAPS if (limit := getattr(space, cap.key))]
        if not caps:
            return None
        amounts = self.amounts(layout)
        for cap, limit in caps:
            if amounts[cap.key] > limit:
                return Excess(cap.key, limit, amounts[cap.key], self._unit(cap), layout)
        return None

    def amounts(self, layout: Layout) -> dict[str, int]:
        """What each of CAPS would limit, by its key."""
        assert isinstance(self.measure, Costs), "these limits need more than a count of parameters"
        growth = self._trial.growth
        largest = final_layout(growth, layout, self.kinds) if growth.grows else layout
        found = {cap.key: cap.amount(self.measure, largest, self._trial) for cap in CAPS}
        return found | {"max_memory": ceil(found["max_memory"] * self.memory_ratio)}

    def _unit(self, cap: Cap) -> str:
        corrected = cap.key == "max_memory" and self.memory_ratio != 1
        return f"{cap.unit}, {self.memory_ratio:.2f} of the estimate as trials had it" if corrected else cap.unit

    @cached_property
    def _trial(self) -> Trial:
        return Trial(train_of(self.study, self.params), growth_of(self.study, self.params))


def nothing_fits(too_large: Sequence[Excess]) -> UsageError:
    """The error that none of the layouts that were drawn is allowed."""
    nearest = min(too_large, key=lambda excess: excess.amount / excess.limit)
    names = ", ".join(dict.fromkeys(f"layouts.{excess.key} {excess.limit}" for excess in too_large))
    allow = "allow" if "," in names else "allows"
    return UsageError(
        f"{names} {allow} none of {len(too_large)} layouts drawn; the smallest has {nearest.amount} {nearest.unit}: "
        f"{nearest.layout}. Raise it, or allow a smaller d_model or depth"
    )
