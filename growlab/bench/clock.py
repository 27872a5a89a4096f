"""Seconds that work on a device takes: a launch returns before it is done, so the clock is read after a wait."""

import time
from collections.abc import Callable

import torch

from growlab.training.device import wait_for


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """By the wall clock, until the device has done what `work` gave it to do."""
    wait_for(device)
    began = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - began
