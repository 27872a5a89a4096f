"""Experiments with known truth. Their noise is what growlab's own trainings of 2,000 steps show (val_loss, nats)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from growlab.statistics.envelope import Cell, UngrownRun, envelopes
from growlab.statistics.gains import Gain

SD_OVER_SEEDS = 0.0036
SD_OF_DIFFERENCES = 0.0041
SLOPE = 0.064  # nats per unit of ln compute, at the arms' budget
DEPTHS = (3, 4, 6)
BUDGETS = (0.5, 0.7, 1.0, 1.4, 2.5)
FLOPS = 1e15  # of a budget of 1
FOUR_IS_BEST = (0.0108, 0.0, 0.0091)  # nats above the envelope, as measured at width 256
ALL_ALIKE = (0.0, 0.0, 0.0)

# var of a difference = 2 (1 - shared) var: what a seed brings to every run, and what each run brings of its own
_SHARED = 1 - SD_OF_DIFFERENCES**2 / (2 * SD_OVER_SEEDS**2)
SD_OF_SEED = SD_OVER_SEEDS * _SHARED**0.5
SD_OF_RUN = SD_OVER_SEEDS * (1 - _SHARED) ** 0.5


def true_loss(budget):
    """The true envelope: 1.0975 at a budget of 1, where it falls by SLOPE per unit of ln compute; convex."""
    return 1.0975 + SLOPE / 0.15 * (np.asarray(budget) ** -0.15 - 1)


@dataclass(frozen=True)
class Experiment:
    """Losses of un-grown models (seed, depth, budget) and of an arm (seed) whose budget is 1."""

    ungrown: np.ndarray
    arm: np.ndarray

    def runs(self, n: int) -> dict[int, list[UngrownRun]]:
        return {
            seed: [
                UngrownRun(cell=Cell(budget, depth), flops=budget * FLOPS, val_loss=float(self.ungrown[seed, d, b]))
                for d, depth in enumerate(DEPTHS)
                for b, budget in enumerate(BUDGETS)
            ]
            for seed in range(n)
        }

    def gains(self, n: int) -> list[Gain]:
        """Log speed-ups on the first n seeds."""
        lines = envelopes(self.runs(n))
        return [lines[seed].speed_up(float(self.arm[seed]), FLOPS) for seed in range(n)]


def experiment(rng: np.random.Generator, *, speed_up: float, above=FOUR_IS_BEST, n: int = 120) -> Experiment:
    """n seeds of an arm that is worth `speed_up` times its compute."""
    of_seed = rng.normal(0, SD_OF_SEED, n)
    levels = true_loss(BUDGETS)[None, None, :] + np.array(above)[None, :, None] + of_seed[:, None, None]
    return Experiment(
        ungrown=levels + rng.normal(0, SD_OF_RUN, (n, len(DEPTHS), len(BUDGETS))),
        arm=true_loss(speed_up) + of_seed + rng.normal(0, SD_OF_RUN, n),
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(14)


@pytest.fixture(name="experiment", scope="session")
def _experiment() -> Callable[..., Experiment]:
    return experiment


@pytest.fixture
def three_alike() -> tuple[float, ...]:
    """Depths that are equally good: what flatters a lower envelope most."""
    return ALL_ALIKE


@pytest.fixture
def noisy_losses(rng) -> Callable[[int, int], np.ndarray]:
    """(plan, seed) → val_loss of plans that are all alike, with the part that a seed brings to each of them."""

    def draw(plans: int, seeds: int) -> np.ndarray:
        return 1.08 + rng.normal(0, SD_OF_SEED, seeds) + rng.normal(0, SD_OF_RUN, (plans, seeds))

    return draw


def exact(values) -> list[Gain]:
    return [Gain(float(value)) for value in values]


@pytest.fixture(name="exact")
def _exact() -> Callable[..., list[Gain]]:
    return exact
