"""What happened. Records are written by the code itself and trusted; specs (what is asked) are checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal, get_args


class TrialState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"  # it waits at a rung until it is promoted, and trains on then
    COMPLETED = "completed"
    DIVERGED = "diverged"  # the loss or a weight was no longer a finite number
    STOPPED = "stopped"  # by a stop rule of its study (growlab.stopping), before its budget was spent
    LEAK = "leak"  # the model saw tokens that it should predict; its losses mean nothing
    FAILED = "failed"  # an error of the trial itself, or too many crashes

    @cached_property  # a search asks it of every trial, at each decision
    def is_final(self) -> bool:
        return self not in (TrialState.QUEUED, TrialState.RUNNING, TrialState.PAUSED)

    @property
    def is_failure(self) -> bool:
        """Whether it ended otherwise than it was meant to: it came neither to its end nor to a stop rule."""
        return self in (TrialState.DIVERGED, TrialState.LEAK, TrialState.FAILED)


def n_ended(counts: Mapping[TrialState, int]) -> int:
    """The number of trials in a final state, whichever, of trials counted by state."""
    return sum(n for state, n in counts.items() if state.is_final)


class EndReason(StrEnum):
    """The reason for which an attempt ended."""

    FINISHED = "finished"  # the trial reached a final state
    PAUSED = "paused"  # the trial came to a rung that it may not pass yet
    STOPPED = "stopped"  # the worker was asked to stop; the trial is queued again
    CRASHED = "crashed"  # the trainer process died
    LOST = "lost"  # the lease ran out: the worker was killed, stalled or cut off


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number at a step. A value that is not finite has its name in `state` and none in SQL."""

    step: int
    split: str  # train | val | test
    name: str  # loss | bits_per_byte | accuracy | flops | tokens | lr | grad_norm | tokens_per_s | pause_s | …
    value: float


AS_IT_WAS = "probe_val_loss_as_it_was"  # metrics of a probe, at the step at which a trial was forked: what its
GROWN = "probe_val_loss_grown"  # branches came to, and how many steps the dropped one had trained
DROPPED_STEPS = "probe_dropped_steps"

TEST = "test"  # the split that is read once, by growlab test, and by nothing that chooses
READ_AT = "read_at"  # the metric of that split that says when: UTC, seconds since 1970, on the database's clock

# Bytes that a trial took of a GPU at most, at its last step; of one that ran out of them what there was to have.
PEAK_MEMORY = "peak_memory"

# Tokens per second that a completed trial's model wrote at its end, where its study asked (growlab.metrics).
DECODE_SPEED = "decode_tokens_per_s"

# Every other metric is the same however often a trial was resumed.
TIMED_METRICS = frozenset({"pause_s", "tokens_per_s", PEAK_MEMORY, DECODE_SPEED})


@dataclass(frozen=True, kw_only=True)
class PathStatistics:
    """All statistics of the path of one tensor's weights over a window (growlab.geometry.trajectory).

    The fields are the one list of them: columns of the table, what is written and read back, and the mean over a unit
    follow. What computes one is growlab.geometry.trajectory.path_statistics.
    """

    tau: float | None  # None: nothing moved; inf: the path is closed
    kappa: float | None
    diffusion_exponent: float | None  # H: 1 ballistic, 1/2 random walk
    drift_to_noise: float | None  # r̂², unbiased
    drift_z: float | None  # drift test; None below four increments
    path: float
    displacement: float


@dataclass(frozen=True, kw_only=True)
class WatchedPath:
    """The path that statistics are of: where it was watched, and how much of it."""

    step: int
    unit: int  # index of the watched unit, from the input side
    tensor: str  # name inside the unit; "" for the mean
    n_increments: int


@dataclass(frozen=True, kw_only=True)
class TrajectoryPoint(PathStatistics, WatchedPath):  # whose fields come first
    """The statistics of one tensor's path, or with tensor = "" their mean over the unit's tensors."""


@dataclass(frozen=True, kw_only=True)
class GrowthEvent:
    """A unit that entered a model."""

    step: int
    position: int  # the new unit's index, from the input side
    unit: str  # the inserted blocks, as text
    operator: str  # what really made it: the asked operator, or identity where it had no source
    reason: str  # stagnation, …
    tau: float | None
    kappa: float | None
    val_loss_before: float
    val_loss_after: float
    depth_before: int
    depth_after: int
    n_params_after: int


@dataclass(frozen=True, kw_only=True)
class RungReading:
    """What a trial came to at a rung (growlab.rungs)."""

    rung: int  # from 0, the lowest
    step: int
    mark: int  # FLOPs of the rung
    flops: int  # that the trial had spent: more than the mark, by up to a step, or where a growth was given time to pay
    val_loss: float  # nats per token, of what rungs.reading says
    bits_per_byte: float | None  # from that; None of a synthetic task
    slope: float | None  # of val_loss over ln FLOPs since its evaluation before; None where a growth lies between
    extra_flops: int = 0  # that reading it cost: the study's, and none of the trial's progress


@dataclass(frozen=True, kw_only=True)
class Paused:
    """The end of an attempt whose trial waits at a rung that it may not pass yet."""

    reading: RungReading


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """What made a stop rule end a trial (growlab.stopping): enough to ask the rule again."""

    rule: Literal["median", "patience", "divergence"]
    step: int
    flops: int  # that the trial had spent
    share: float  # of its budget; of the mark, where it was stopped at one
    val_loss: float  # nats per token: at the mark, or of the evaluation at that step
    bound: float  # that it was compared with: the median of the others, or the trial's best
    n_evaluations: int = 0  # in a row that the rule did not like
    rung: int | None = None  # the mark, from 0, of the rule `median`
    seen: tuple[int, ...] = ()  # the trials whose readings there were known
    revision: int = 0  # of the study, whose objectives were asked

    @property
    def reason(self) -> str:
        """Why the trial was stopped, in words: the rule, where, and by what."""
        return f"{self.rule}, at step {self.step} ({self.share:.3g} of the budget): {self._by_what}"

    @property
    def _by_what(self) -> str:
        n_there = len(self.seen)
        match self.rule:
            case "median" if self.val_loss > self.bound:
                return f"val_loss {self.val_loss:.4f}, the median of {n_there} others there {self.bound:.4f}"
            case "median":
                return f"in the worse half of {n_there + 1} trials there by all objectives"
            case "patience":
                no_better = f"{self.n_evaluations} times in a row no better than {self.bound:.4f}"
                return f"val_loss {self.val_loss:.4f}, {no_better}"
            case "divergence":
                apart = f"{self.n_evaluations} times in a row above {self.bound:.4f} while the training loss fell"
                return f"val_loss {self.val_loss:.4f}, {apart}"


Fact = Metric | TrajectoryPoint | GrowthEvent | RungReading | EarlyStop  # becomes a row together with a checkpoint


def float_fields(record: type[Any]) -> tuple[str, ...]:
    """The names of a record's fields that hold a float or, where it is not known, None."""
    return tuple(member.name for member in fields(record) if member.type in (float, float | None))


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file that a trial wrote; the path is relative to the artifact root."""

    kind: str  # checkpoint | model | tokenizer
    step: int
    path: str
    sha256: str
    n_bytes: int


Loss = Literal["val_loss", "best_val_loss", "bits_per_byte"]  # of a result: what a study minimises
LOSSES: tuple[Loss, ...] = get_args(Loss)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The end of a trial; columns of the leaderboard."""

    state: TrialState
    layout_end: str
    depth_end: int
    n_params: int
    val_loss: float | None  # nats per token, last evaluation, no auxiliary terms
    best_val_loss: float | None
    bits_per_byte: float | None  # from val_loss
    flops: int
    tokens: int
    steps: int
    elapsed_s: float  # training and evaluation, over all attempts
    sample: str = ""
    error: str = ""
    engine: str = ""  # how its steps were executed at the end: eager, graph, …; "" where none were


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What all trials of a study have spent so far, and the best that they have reached."""

    flops: float = 0.0  # of a trial that runs those of its newest checkpoint; readings at rungs included
    gpu_hours: float = 0.0  # of all attempts, added up, until each ended or was last heard
    hours: float = 0.0  # since the first attempt began
    best: Mapping[Loss, float] = field(default_factory=dict)  # the lowest of completed trials


@dataclass(frozen=True, kw_only=True)
class TrialProgress:
    """A glimpse for the live display; never stored."""

    step: int
    progress: float  # spent / budget, 0 to 1
    depth: int
    phase: str  # train | warm-up | cool-down | probe
    train_loss: float
    val_loss: float | None
    tau: float | None
    kappa: float | None
    tokens_per_s: float
    remaining_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PastTrial:
    """A trial as a search knows it."""

    number: int
    state: TrialState
    layout: str  # complete text
    params: dict[str, Any] = field(default_factory=dict)  # scalars as the sampler drew them
    value: float | None = None  # the first objective; None while running, or when there is none
    values: tuple[float, ...] = ()  # all of several objectives, in the study's order, lower is better in each of them
    feasible: bool = True  # False: completed, and a constraint of the study does not hold, or nobody knows that it does
    metrics: Mapping[str, float] = field(default_factory=dict)  # of a completed trial, as recorded, by their keys
    layout_end: str = ""  # of a completed trial, as people read it; '' where nobody knows
    added: bool = False  # by a person (ADDED or TOLD): none of the sampler's own proposals
    peak_memory: float | None = None  # as the metric says; None where nobody measured it, and while running
    readings: tuple[RungReading, ...] = ()  # at the rungs that it came to, from the lowest on
    may_pass: int = 0  # rungs, by the promotions that it had
    stopped_by: str = ""  # the stop rule that ended it; its value is then that of its last evaluation, and no result
    value_sd: float = 0.0  # of a value that is no result but what readings make expect, beyond the noise of a training

    @property
    def is_paused(self) -> bool:
        """Whether it waits at a rung: whatever trains it would have to be promoted first."""
        return not self.state.is_final and len(self.readings) > self.may_pass


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a search expected of a trial before it ran, on the scale of the objective."""

    mean: float
    sd: float  # of the mean: the noise of a single trial is not in it
    runs: float  # the probability that the trial reaches an objective at all


ADDED, TOLD = "added", "told"  # origins of trials that a person put into a search: to train, and with their results


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The way in which a proposal came about: enough to make it again."""

    number: int
    seed: int
    origin: (
        str  # seed | random | mutation | model | optuna | given (growlab train, growlab study confirm) | added | told
    )
    parent: int | None  # trial number; in a study that confirms winners that of the search
    mutation: str  # what was done to the parent
    finished: tuple[int, ...]  # numbers of the trials whose results were seen
    running: tuple[int, ...]
    predicted: Prediction | None = None  # of the objective, by a sampler that models it
    revision: int = 0  # of the study that was asked: how often it had been changed
    climbs: tuple["Climb", ...] = ()  # of the running ones, those that had come to a rung


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How far a trial that is not over had come up its rungs when a decision was made."""

    trial: int
    n_readings: int
    may_pass: int


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """The decision that a paused trial trains on, up to the next rung: enough to make it again."""

    trial: int
    rung: int  # at which it waits, from 0
    finished: tuple[int, ...]  # as of a Decision
    running: tuple[int, ...]
    climbs: tuple[Climb, ...]
    predicted: Prediction | None = None
    revision: int = 0
