"""Seconds by the wall clock that training takes.

A launch returns before its work is done: what a device did is timed from one wait for it to the next.
"""

import time
from collections.abc import Callable

import torch

from growlab.training.device import wait_for
from growlab.training.engine import WARM_UP
from growlab.training.run import Counters, TrialRun

START_STEPS = WARM_UP + 2  # an engine warms up, records in the next step, and is at full speed in the one after


class Stopwatch:
    """A clock that runs from when it is made; with a device, from and to when that has done what it was given."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self._since = self._now()

    def lap(self) -> float:
        """End a lap and begin the next; return the seconds that it took."""
        since, self._since = self._since, self._now()
        return self._since - since

    def add_to(self, counters: Counters) -> None:
        """End a lap, and add it to a trial's elapsed time."""
        counters.elapsed_s += self.lap()

    def _now(self) -> float:
        if self._device is not None:
            wait_for(self._device)
        return time.perf_counter()


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time `work` until the device has done what it is given, and nothing from before."""
    watch = Stopwatch(device)
    work()
    return watch.lap()


def train_steps(run: TrialRun, n_steps: int) -> None:
    """Train for so many steps, be that beyond the budget."""
    for _ in range(n_steps):
        run.train_step()


def warm_up(run: TrialRun) -> None:
    """Train a new run up to full speed, and wait for its device."""
    train_steps(run, START_STEPS)
    wait_for(run.device)
