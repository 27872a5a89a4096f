"""What a growth recipe is made of: triggers (when), operators (with what weights), positions (where).

Each is a name with an options dataclass, registered by its own file: growlab/growth/triggers, …/operators, …/positions,
or a plugin. What only reads or searches recipes knows these tables alone, and needs no torch.

In a study their options are growth.trigger.<name>.<option>; what a search draws of them it draws only in trials whose
recipe has that name.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

from growlab.layout import BlockSpec
from growlab.named import Options, Part
from growlab.registry import Registry

T = TypeVar("T")
Sort = Literal["trigger", "operator", "position"]
SORTS: tuple[Sort, ...] = ("trigger", "operator", "position")

NEVER = "never"  # the trigger of a trial that does not grow
FRESH = "identity"  # the operator of a unit that enters as it was initialised, and silent


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often a trial looks at itself, in steps."""

    eval_every: int  # triggers decide at evaluations
    collect_interval_steps: int  # between snapshots
    n_steps: int  # of the whole trial


@dataclass(frozen=True, kw_only=True)
class Trying:
    """How a growth is tried: a copy of the trial grows, another one does not, and the better one stays."""

    share: float  # of the budget, for which each copy is trained
    least: float  # gain in val_loss, in nats per token, above which the growth is kept


@dataclass(frozen=True, kw_only=True)
class TriggerOptions(Options):
    """Of a trigger, and what can be said of it before anything is trained."""

    wants_lasting_drift: ClassVar[bool] = False  # whether it acts on that of a moment, which is a metric then

    def critical(self) -> Mapping[str, float]:
        """The values of path statistics ('tau', 'kappa') from which this trigger finds a path worn out."""
        return {}

    def least_window(self) -> int:
        """The snapshots that it needs of the newest unit; 0 where it looks at no path."""
        return 0

    def n_growths(self) -> int | None:
        """The number of growths at most, and exactly unless they are tried; None where training decides."""
        return None

    def trying(self) -> Trying | None:
        """How a growth is tried before it is kept; None where every growth stays."""
        return None

    def in_vain(self) -> str:
        """Why no model ever grows by it, however long the budget, and what to do; '' where one can."""
        return ""

    def first_growth(self, pace: Pace) -> int:
        """The earliest step at which a model can grow."""
        return pace.eval_every

    def too_late(self, pace: Pace) -> str:
        """Why a trial cannot grow at all, in words; '' where it can. None does at its last step."""
        first = self.first_growth(pace)
        if first < pace.n_steps:
            return ""
        return f"growth begins at step {first:,}, and the budget ends at {pace.n_steps:,}; let it begin earlier"


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """Old units that a growth makes one, which holds all their blocks: no weight enters, and none changes."""

    first: int  # place of the lowest of them
    n_units: int
    blocks: tuple[BlockSpec, ...]  # what the one is made of


@dataclass(frozen=True, kw_only=True)
class OperatorOptions(Options):
    """The options of an operator, and how they fit a window of snapshots."""

    copies_origin: ClassVar[bool] = False  # whether a new unit is modelled on the one that its position names
    inherits: ClassVar[bool] = True  # whether that unit's optimizer state means anything for the new one
    needs_path: ClassVar[bool] = True  # whether it makes anything of a window of snapshots
    of_newest: ClassVar[bool] = False  # whether that is the newest unit's, however many are watched
    encloses: ClassVar[bool] = False  # whether no unit enters, but old ones become one: it says which, no position does

    @classmethod
    def follows_origin(cls) -> bool:
        """Whether a new unit is made of the path of the one that its position names, where all units are watched."""
        return cls.needs_path and not cls.of_newest

    @classmethod
    def modelled_on(cls, n_units: int, origin: int, newest: int) -> int:
        """The place of the old unit that a new one is made of, and whose kinds it has where a study names none.

        `origin` is the position's choice, `newest` the unit that entered last; where all units are watched, `newest`
        is the position's choice too for an operator that follows a path.
        """
        return origin if cls.copies_origin else newest

    def enclosing(self, units: Sequence[tuple[BlockSpec, ...]]) -> Enclosure | None:
        """Of an operator that `encloses`: the old units that become one, and what that is; None where none may."""
        raise NotImplementedError

    def fitted(self, window: int, drawn: Collection[str]) -> Self:
        """The same where no window of so many snapshots is too small; else with what was `drawn` cut to it."""
        return self

    def dead_terms(self, window: int) -> str:
        """What of the operator stands for nothing over so many snapshots, in words; '' where all of it acts."""
        return ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where one of the new units of a growth enters, and which old one it is modelled on."""

    gap: int  # among the old units: 0 below all of them, their number above all
    origin: int  # place of an old unit


TRIGGERS: Registry[Part] = Registry("growth trigger")
OPERATORS: Registry[Part] = Registry("growth operator")
POSITIONS: Registry[Part] = Registry("growth position")
PARTS: Mapping[Sort, Registry[Part]] = {"trigger": TRIGGERS, "operator": OPERATORS, "position": POSITIONS}


def register_trigger(
    name: str, summary: str, *, options: type[TriggerOptions] = TriggerOptions
) -> Callable[[type[T]], type[T]]:
    """Class decorator: a growlab.growth.moment.Trigger, made of its options, anew for each trial."""
    return _adder("trigger", name, summary, options)


def register_operator(
    name: str, summary: str, *, options: type[OperatorOptions] = OperatorOptions, searched: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator for a function (source, options) → weights, of growlab.growth.source; None: there is nothing to use."""
    return _adder("operator", name, summary, options, searched=searched)


def register_position(
    name: str, summary: str, *, options: type[Options] = Options
) -> Callable[[Callable[..., list[Entry]]], Callable[..., list[Entry]]]:
    """Decorator for a function (number of units, number of new ones, options) → an Entry for each new one."""
    return _adder("position", name, summary, options)


def _adder(sort: Sort, name: str, summary: str, options: type[Any], *, searched: bool = False) -> Callable[[Any], Any]:
    def add(made: Any) -> Any:
        section = f"growth.{sort}.{name}"
        PARTS[sort].add(
            name, Part(name=name, section=section, summary=summary, options=options, make=made, searched=searched)
        )
        return made

    return add
