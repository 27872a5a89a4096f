"""What reading gives: rows of several tables, put together for those who ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.named import Named
from growlab.records import Artifact, EndReason, TrialState
from growlab.rungs import Ladder
from growlab.specs import TrialSpec
from growlab.stopping import StopRules
from growlab.storage.values import damaged, read_json
from growlab.study import Study
from growlab.study.column import trial_spec_from_mapping

_SILENT_S = 120.0  # seconds without a sign of life, of which there are four in a lease, before a worker counts as gone


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    id: int
    created_at: float  # UTC, seconds since 1970, as all times here
    study: Study
    revision: int = 0  # how often it was changed


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    id: int
    name: str
    created_at: float
    n_trials: int  # asked for; `counts` says how many there are
    counts: Mapping[TrialState, int]
    best_val_loss: float | None  # the lowest val_loss of a completed trial
    over: str = ""  # the limit that ended it before it had all its trials, in words


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The trials of a study by state, and all their promotions: another one where a search may decide otherwise."""

    counts: Mapping[TrialState, int]
    n_promotions: int

    @property
    def n_trials(self) -> int:
        """The number of trials that there are, in whatever state."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to run a trial, until another claim raises the trial's epoch."""

    trial_id: int
    number: int
    epoch: int
    attempt_id: int
    study_id: int
    spec: TrialSpec
    layout: str  # the short text
    lease_s: float  # how long the right lasts after each beat or commit
    checkpoint: Artifact | None  # the newest committed one: where to go on
    ladder: Ladder | None = None  # of a study that reads trials at rungs or marks: how far to train
    rules: StopRules | None = None  # that may end it sooner
    asked: tuple[Named, ...] = ()  # metrics that the study wants of it when it has completed


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """A trial without its facts. The result's fields are None until it is final."""

    id: int
    study_id: int
    number: int
    state: TrialState
    layout: str  # the short text
    layout_hash: str
    params: Mapping[str, Any]
    spec_json: str  # as stored: whoever reads ten thousand trials needs none of them whole
    seed: int | None  # of the spec; None of a damaged one
    depth_start: int
    epoch: int  # how often it was claimed
    strikes: int
    may_pass: int  # rungs: how often it was promoted
    lease_left_s: float | None  # negative: its worker has not been heard for that much longer than agreed
    created_at: float
    started_at: float | None
    ended_at: float | None

    # the newest that is known, also while it runs
    newest_step: int | None
    newest_val_loss: float | None
    newest_accuracy: float | None  # of a synthetic task's answers; None of a text

    # of a paused trial, at the rung where it waits
    paused_mark: float | None  # FLOPs
    paused_budget: int | None  # what its budget amounts to; None of a damaged spec
    paused_val_loss: float | None

    layout_end: str | None
    depth_end: int | None
    n_params: int | None
    val_loss: float | None
    best_val_loss: float | None
    bits_per_byte: float | None
    flops: int | None
    tokens: int | None
    steps: int | None
    elapsed_s: float | None
    sample: str
    error: str
    engine: str  # "" where it is not known: never trained, or ended before schema 0002

    @property
    def was_told(self) -> bool:
        """Whether a person told its result: nobody ever claimed it, so that nothing was trained and no file is left."""
        return self.state.is_final and self.epoch == 0

    @cached_property
    def spec_mapping(self) -> Mapping[str, Any]:
        """The spec as plain values, unchecked: of a damaged one whatever was found there."""
        mapping: Mapping[str, Any] = read_json(self.spec_json)
        return mapping

    @property
    def spec(self) -> TrialSpec:
        """The spec of the trial, checked now: a leaderboard of thousands does without.

        Raises StorageError for a damaged one.
        """
        try:
            return trial_spec_from_mapping(self.spec_mapping)
        except SpecError as error:
            raise damaged(self.number, "gl_trials.spec", str(error)) from None

    def require_sound(self) -> None:
        """Refuse with a StorageError a trial of which a JSON column holds something else than it should."""
        _ = self.spec
        if not isinstance(self.params, Mapping):
            raise damaged(self.number, "gl_trials.params", f"must be a mapping, got {quoted(self.params)}")


@dataclass(frozen=True, kw_only=True)
class AttemptRow:
    id: int
    epoch: int
    worker: str
    host: str
    device: str
    started_at: float
    heartbeat_at: float
    ended_at: float | None
    end_reason: EndReason | None
    note: str
    step: int  # the furthest that was heard of it
    versions: Mapping[str, Any]  # of growlab and the packages of its worker


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """Who works, or worked, on a study, and on which of its trials. Times are UTC seconds since 1970."""

    name: str
    host: str
    pid: int
    device: str
    started_at: float
    heartbeat_at: float
    heard_s: float  # since its last sign of life, on the database's clock
    ended_at: float | None
    n_attempts: int  # at trials of this study
    trial: int | None = None  # that it holds now
    lease_left_s: float | None = None  # of that trial; negative: another worker may take it
    step: int | None = None  # the furthest that was heard of it
    tokens_per_s: float | None = None  # of its newest row

    @property
    def is_heard(self) -> bool:
        """Whether it is there, as far as one can know: it did not leave, and gave a sign of life lately."""
        return self.ended_at is None and self.heard_s < _SILENT_S
