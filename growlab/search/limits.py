"""What layouts.max_params and its like allow, and whether a layout stays within; likewise constraints of metrics that
a layout alone tells.

The largest model that a trial can become is what is counted, where the growth plan says how often it grows; but for
max_params, which is of the layout itself. What counts comes from the caller: this room knows no torch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

from growlab.domains import Value
from growlab.errors import UsageError
from growlab.kinds import Kind
from growlab.layout import Layout
from growlab.metrics import METRICS, Costs, OfLayout, Trial, options_of, tells
from growlab.plan import final_layout
from growlab.search.sections import growth_of, train_of
from growlab.study import Constraint, Objective, Study

Measure = Callable[[Layout], int]  # the number of parameters of a layout; metrics of layouts but params ask for Costs


@dataclass(frozen=True)
class Cap:
    """A key of layouts, and the metric that it limits."""

    key: str
    metric: str

    @property
    def unit(self) -> str:
        return _of_layout(self.metric).unit


CAPS = (
    Cap("max_grown_params", "params"),
    Cap("max_flops_per_token", "flops_per_token"),
    Cap("max_state", "state_size"),
    Cap("max_memory", "memory"),
)
LIMITS = ("max_params", *(cap.key for cap in CAPS))


@dataclass(frozen=True)
class Excess:
    """A limit that a layout exceeds."""

    key: str  # full, such as layouts.max_params
    limit: float
    amount: int
    unit: str
    layout: Layout  # as it begins

    @property
    def is_shortage(self) -> bool:
        """Whether the limit is the least that there must be."""
        return self.amount < self.limit

    @property
    def ratio(self) -> float:
        """How far beyond the limit it is: 1 at the limit, more further off."""
        return self.limit / max(self.amount, 1) if self.is_shortage else self.amount / max(self.limit, 1)

    def __str__(self) -> str:
        relation = "fewer" if self.is_shortage else "more"
        return f"has {self.amount} {self.unit}, {relation} than {self.key} {self.limit:.15g}"


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
            return Excess("layouts.max_params", space.max_params, n_params, "parameters", layout)
        caps = [(cap, limit) for cap in CAPS if (limit := getattr(space, cap.key))]
        bounds = [bound for bound in self.study.constraints if tells(bound.metric)]
        if not caps and not bounds:
            return None
        largest = self.largest(layout)
        amounts = self._capped(largest) if caps else {}
        for cap, limit in caps:
            if amounts[cap.key] > limit:
                return Excess(f"layouts.{cap.key}", limit, amounts[cap.key], self._unit(cap), layout)
        return next(self._beyond(bounds, largest, layout), None)

    def amounts(self, layout: Layout) -> dict[str, int]:
        """What each of CAPS would limit, by its key."""
        return self._capped(self.largest(layout))

    def amount(self, judged: Objective | Constraint, last: Layout) -> int:
        """What a metric says of which a layout `tells`: of the layout with which a trial ends."""
        return self._amount(judged.metric, last, judged.options)

    def largest(self, layout: Layout) -> Layout:
        """The largest model that a trial of the layout becomes, where its growth plan says how often it grows."""
        growth = self._trial.growth
        return final_layout(growth, layout, self.kinds) if growth.grows else layout

    def _capped(self, largest: Layout) -> dict[str, int]:
        found = {cap.key: self._amount(cap.metric, largest, {}) for cap in CAPS}
        return found | {"max_memory": ceil(found["max_memory"] * self.memory_ratio)}

    def _amount(self, metric: str, last: Layout, options: Mapping[str, Value]) -> int:
        knows = metric == "params" or isinstance(self.measure, Costs)
        assert knows, f"{metric} needs more than a count of parameters"
        return _of_layout(metric).amount(self.measure, last, self._trial, options_of(metric, options))

    def _beyond(self, bounds: Sequence[Constraint], largest: Layout, layout: Layout) -> Iterator[Excess]:
        for bound in bounds:
            if not bound.holds(amount := self.amount(bound, largest)):
                side = "at_most" if bound.at_most is not None and amount > bound.at_most else "at_least"
                key, unit = f"constraints.{bound.metric}.{side}", _of_layout(bound.metric).unit
                yield Excess(key, getattr(bound, side), amount, unit, layout)

    def _unit(self, cap: Cap) -> str:
        corrected = cap.key == "max_memory" and self.memory_ratio != 1
        return f"{cap.unit}, {self.memory_ratio:.2f} of the estimate as trials had it" if corrected else cap.unit

    @cached_property
    def _trial(self) -> Trial:
        return Trial(train_of(self.study, self.params), growth_of(self.study, self.params))


def needs_costs(study: Study) -> bool:
    """Whether deciding in the study asks what layouts cost, besides their parameters."""
    return any(getattr(study.layouts, cap.key) for cap in CAPS) or any(tells(each.metric) for each in study.judged)


def _of_layout(metric: str) -> OfLayout:
    source = METRICS[metric].source
    assert isinstance(source, OfLayout), metric
    return source


def nothing_fits(beyond: Sequence[Excess]) -> UsageError:
    """The error that none of the layouts that were drawn is allowed."""
    nearest = min(beyond, key=lambda excess: excess.ratio)
    names = ", ".join(dict.fromkeys(f"{excess.key} {excess.limit:.15g}" for excess in beyond))
    allow = "allow" if "," in names else "allows"
    change, size, of = ("Lower", "larger", "largest") if nearest.is_shortage else ("Raise", "smaller", "smallest")
    return UsageError(
        f"{names} {allow} none of {len(beyond)} layouts drawn; the {of} has {nearest.amount} {nearest.unit}: "
        f"{nearest.layout}. {change} it, or allow a {size} d_model or depth"
    )
