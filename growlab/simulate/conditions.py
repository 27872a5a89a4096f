"""What a simulated fleet is like: how many workers, how fast each is, and what happens to them."""

import math
from dataclasses import dataclass, field
from random import Random

from growlab.defaults import CHECKPOINT_EVERY_S, LEASE_S
from growlab.errors import require
from growlab.seeds import derived_seed


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """All times in virtual seconds. What is random in them comes from `seed`, for each worker apart."""

    n_workers: int
    stragglers: float = 0.0  # sd of the logarithm of a worker's speed, whose median is 1
    dies_every_s: float = 0.0  # mean time until a worker dies, and its trial is free when its lease ends; 0: never
    preempted_every_s: float = 0.0  # mean time until it is asked to stop, saves its trial and gives it back; 0: never
    away_s: float = 0.0  # from either until the worker, or another one in its place, is back
    lease_s: float = LEASE_S
    checkpoint_every_s: float = CHECKPOINT_EVERY_S  # what a worker that dies has trained since is lost
    flops_per_s: float = 0.0  # of a worker of usual speed; 0: trainings took as long as their table says
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.n_workers >= 1, "workers", "at least 1", self.n_workers)
        for name in ("stragglers", "dies_every_s", "preempted_every_s", "away_s", "flops_per_s"):
            require(0 <= getattr(self, name) < math.inf, name, "at least 0", getattr(self, name))
        for name in ("lease_s", "checkpoint_every_s"):
            require(0 < getattr(self, name) < math.inf, name, "greater than 0", getattr(self, name))

    def fate(self, worker: int) -> "Fate":
        return Fate(self, worker)


@dataclass
class Fate:
    """What is random about one worker."""

    conditions: Conditions
    worker: int
    speed: float = field(init=False)
    _rng: Random = field(init=False)

    def __post_init__(self) -> None:
        speed = Random(derived_seed(self.conditions.seed, self.worker, "speed"))
        self.speed = math.exp(self.conditions.stragglers * speed.gauss(0, 1))
        self._rng = Random(derived_seed(self.conditions.seed, self.worker, "fate"))

    def until_death_s(self) -> float:
        """A time until the worker's next death; inf where it never dies."""
        return self._drawn(self.conditions.dies_every_s)

    def until_preemption_s(self) -> float:
        return self._drawn(self.conditions.preempted_every_s)

    def _drawn(self, mean_s: float) -> float:
        return self._rng.expovariate(1 / mean_s) if mean_s else math.inf
