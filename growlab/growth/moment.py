"""What a trigger sees, and what it is. No torch: whoever explains a trigger need not load any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from growlab.records import TrajectoryPoint


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The point at which a trial stands when a trigger is asked, at an evaluation."""

    step: int
    progress: float  # spent over budget
    flops: int  # spent so far
    train_loss: float  # mean since the row before, in nats per token
    val_loss: float  # of this evaluation, in nats per token
    path: TrajectoryPoint | None = None  # of the window's mean; None before there are three snapshots
    lasting_drift: float | None = None  # r̂² of that path without what is correlation alone; None unless wanted

    @property
    def tau(self) -> float | None:
        """Stretch τ of the path, against the straight line; None where nothing is known or nothing moved."""
        return self.path.tau if self.path else None

    @property
    def kappa(self) -> float | None:
        """Curvature κ of the path: how bent it is; None where nothing is known or nothing moved."""
        return self.path.kappa if self.path else None


class Trigger(Protocol):
    """A rule for when to grow.

    1. `is_due` after every step: whether a schedule asks for a growth at this progress. It must cost nothing.
    2. At every evaluation `look`, where no growth may begin: during another one, or where the model is as deep as it
       may become;
    3. `check` elsewhere; True asks for a growth, and is the last call before it.
    4. `forget` after a growth, also where one is only tried, and in the branch that is trained without it.

    What it remembers between calls is `state`: plain JSON values, from which `restore` goes on in another process.
    """

    def is_due(self, progress: float) -> bool: ...

    def look(self, moment: Moment) -> None: ...

    def check(self, moment: Moment) -> bool: ...

    def forget(self) -> None: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Memory:
    """A trigger's state, where that is all the attributes which `remembers` names; without a schedule."""

    remembers: tuple[str, ...] = ()

    def is_due(self, progress: float) -> bool:
        return False

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.remembers}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in self.remembers:
            setattr(self, name, state[name])
