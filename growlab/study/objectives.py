"""What trials are judged by: objectives, of which the first ranks them where one number is needed, and constraints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from growlab.domains import Value
from growlab.errors import SpecError
from growlab.metrics import DIRECTIONS, Direction, is_measured_at_end, key_of
from growlab.named import Named
from growlab.records import LOSSES, Loss
from growlab.scalar import either, require, setting

MOST_OBJECTIVES = 5  # an exact hypervolume takes longer by a power of the trials for each of them


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A metric that shall be as low, or as high, as possible."""

    metric: str = setting(
        type="name", default="val_loss", help="of a registered metric; that of the first objective is a loss"
    )
    direction: Direction = setting(
        type="text", range=either(DIRECTIONS), default="minimise", help="a name alone has that of its metric"
    )
    reference: float | None = setting(
        type="number",
        default=None,
        help="what is no better than this adds nothing to the hypervolume; none: a tenth of the range beyond the worst",
    )
    options: Mapping[str, Value] = field(default_factory=dict)  # those that were given; they stand beside the name

    @property
    def key(self) -> str:
        """How rows and reports name it."""
        return key_of(self.metric, self.options)

    def lower_is_better(self, value: float) -> float:
        """The value, negated where the metric is maximised; and such a number back again."""
        return value if self.direction == "minimise" else -value

    @property
    def reference_below(self) -> float | None:
        """The reference as a value of which lower is better; None where none is given."""
        return None if self.reference is None else self.lower_is_better(self.reference)

    def __str__(self) -> str:
        return self.key if self.direction == "minimise" else f"{self.key} (maximised)"


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A metric that a trial must hold within bounds to be one that a study looks for."""

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    options: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        section = f"constraints.{self.metric}"
        if self.at_most is None and self.at_least is None:
            raise SpecError(f"{section}: needs at_most or at_least, got neither")
        if self.at_most is not None and self.at_least is not None:
            require(self.at_least <= self.at_most, f"{section}.at_least", f"at most {self.at_most:g}", self.at_least)

    @property
    def key(self) -> str:
        return key_of(self.metric, self.options)

    def holds(self, value: float) -> bool:
        """Whether a value is within the bounds; NaN is not."""
        low = self.at_least is None or value >= self.at_least
        return low and (value <= self.at_most if self.at_most is not None else value == value)


def measured_at_end(judged: Iterable[Objective | Constraint]) -> tuple[Named, ...]:
    """The metrics that a trial is asked for when it has completed, one of each key."""
    every = {each.key: Named(name=each.metric, options=each.options) for each in judged}
    return tuple(named for named in every.values() if is_measured_at_end(named.name))


def require_sound(objectives: Sequence[Objective]) -> None:
    """Raise SpecError unless the first objective is a loss, all of them differ, and no loss is maximised."""
    require(1 <= len(objectives) <= MOST_OBJECTIVES, "objectives", f"1 to {MOST_OBJECTIVES}", len(objectives))
    if objectives[0].metric not in LOSSES:
        raise SpecError(
            f"objectives: the first one ranks trials where one number is needed, and must be {either(LOSSES)}, got "
            f"{objectives[0].key!r}; put it behind one of these"
        )
    keys = [objective.key for objective in objectives]
    if twice := [key for at, key in enumerate(keys) if key in keys[:at]]:
        raise SpecError(f"objectives: names {twice[0]!r} twice")
    for objective in objectives:
        if objective.metric in LOSSES and objective.direction != "minimise":
            raise SpecError(f"objectives: {objective.metric} is a loss, and cannot be maximised")


def first_loss(objectives: Sequence[Objective]) -> Loss:
    """The loss that ranks trials where one number is needed."""
    return next(loss for loss in LOSSES if loss == objectives[0].metric)
