"""What came of a simulation: trials in the order in which they were decided, and the best value as time went on."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from growlab.domains import Value
from growlab.records import TrialState
from growlab.simulate.worker import Doing

N_MARKS = 12  # moments at which a simulation is looked at


@dataclass(kw_only=True)
class SimulatedTrial:
    """A trial: when what became of it, in virtual seconds, and which training stands for it."""

    number: int
    decided_s: float
    origin: str
    parent: int | None
    mutation: str
    layout: str
    params: Mapping[str, Value]
    distance: float  # of the training that stands for it, from 0 to 1; 0: it is of the very same
    began_s: float | None = None
    ended_s: float | None = None  # or was paused for the last time
    state: TrialState = TrialState.QUEUED
    value: float | None = None  # of the objective
    flops: float = 0.0
    n_attempts: int = 0
    promoted_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a study stood at a moment."""

    at_s: float
    flops: float  # of all trials, those of their last checkpoints where they were not over
    n_over: int
    n_paused: int
    best: float | None  # value of a completed trial
    trial: int | None  # that has it


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A study from its first decision to its last trial, with pretended workers."""

    study: str
    metric: str
    n_workers: int
    ended_s: float
    flops: float
    lost_flops: float  # that were trained twice: after a death, and where a paused trial's checkpoint was not kept
    counts: Mapping[TrialState, int]
    n_promotions: int
    n_deaths: int
    n_preemptions: int
    worker_s: Mapping[Doing, float]  # what all workers did, added up
    n_exact: int  # trials for which the table has a training of their own configuration
    distance: float  # of the others from the trainings that stand for them, the mean
    improvements: Sequence[Standing]  # at each trial that was better than all before
    marks: Sequence[Standing]  # N_MARKS of them, evenly over the time that it took
    trials: Sequence[SimulatedTrial]  # in the order in which they were decided

    def as_mapping(self) -> dict[str, Any]:
        """All of it in plain types."""
        found = asdict(self)
        found["counts"] = {state.value: n for state, n in self.counts.items()}
        found["worker_s"] = {doing.value: seconds for doing, seconds in self.worker_s.items()}
        return found


def evenly(standings: Sequence[Standing], ended_s: float) -> list[Standing]:
    """How a study stood at each of N_MARKS moments, evenly over the time; `standings` are by their time, from 0 on."""
    moments = [*(ended_s * n / N_MARKS for n in range(1, N_MARKS)), ended_s]
    times = [standing.at_s for standing in standings]
    return [replace(standings[bisect_right(times, at_s) - 1], at_s=at_s) for at_s in moments]
