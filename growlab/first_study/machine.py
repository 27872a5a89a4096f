"""The machine at hand: what trains on it, and how fast a few real steps go."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch

from growlab.bench.machine import describe_device
from growlab.bench.measure import time_run
from growlab.data import Corpus
from growlab.doctor.devices import memory_bytes
from growlab.resources import n_cores
from growlab.running.devices import shared_threads
from growlab.specs import TrialSpec
from growlab.training.device import use_device

_MOST_WORKERS = 4  # on a CPU; more of them get in each other's way at the memory
_WORKER_BYTES = 3 << 29  # that a process of torch may take
_STEPS, _ROUNDS = 3, 3


@dataclass(frozen=True, kw_only=True)
class Machine:
    device: torch.device
    name: str  # the maker's
    n_cores: int
    memory: int | None  # bytes, of the machine or what a container may use; None where it does not say
    n_workers: int  # that a study should have here


def this_machine(device: str) -> Machine:
    """Look at the machine. Raises UsageError for a device that is not there."""
    used, cores, memory = use_device(device), n_cores(), memory_bytes()
    fitting = _MOST_WORKERS if memory is None else max(1, memory // _WORKER_BYTES)
    return Machine(
        device=used,
        name=str(describe_device(used)["name"]),
        n_cores=cores,
        memory=memory,
        n_workers=min(cores, _MOST_WORKERS, fitting) if used.type == "cpu" else 1,
    )


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a few steps of training took, on as many threads as a worker has."""

    flops_per_s: float
    start_s: float  # until a trial is at full speed


def measure_pace(spec: TrialSpec, corpus: Corpus, machine: Machine) -> Pace:
    """Train a trial for a few steps and forget it."""
    with _threads_of(machine):
        timing = time_run(spec, corpus, machine.device, n_steps=_STEPS, n_rounds=_ROUNDS)
    return Pace(flops_per_s=timing.flops_per_step / median(timing.step_s), start_s=timing.start_s)


@contextmanager
def _threads_of(machine: Machine) -> Iterator[None]:
    """Compute on as many threads as `growlab study run` gives each of its workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(shared_threads(machine.n_workers) or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
