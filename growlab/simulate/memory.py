"""The queue of one study's trials in memory, on a clock of its own: what growlab.storage does, without a database.

Of what the database's queue does it leaves out what no simulated worker meets: a silence of all workers, an answer that
is lost, a row that is damaged. Of a trial's facts it keeps its readings, its FLOPs and its peak of memory.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from growlab.errors import LeaseLost
from growlab.finite import finite
from growlab.metrics import name_of, rows_of, tells
from growlab.proposal import Proposal
from growlab.queue import MAX_STRIKES, MOST_LOSSES, ladder_of
from growlab.records import (
    ADDED,
    LOSSES,
    PEAK_MEMORY,
    TOLD,
    Artifact,
    EarlyStop,
    EndReason,
    Fact,
    Loss,
    Metric,
    PastTrial,
    Promotion,
    RungReading,
    Spent,
    TrialResult,
    TrialState,
)
from growlab.rungs import Ladder
from growlab.simulate.clock import Clock
from growlab.specs import TrialSpec
from growlab.study import Study

STUDY_ID = 0  # of the only one there is


@dataclass(frozen=True, kw_only=True)
class MemoryClaim:
    """The right to run a trial, until another claim raises the trial's epoch."""

    number: int
    epoch: int
    worker_id: int
    spec: TrialSpec
    lease_s: float
    checkpoint: Artifact | None
    ladder: Ladder | None
    is_compared: bool  # with others, at each mark that it comes to


class MemoryQueue:
    """A growlab.queue.Queue of one study."""

    def __init__(self, study: Study, clock: Clock) -> None:
        self._study, self._clock = study, clock
        self._trials: dict[int, _Trial] = {}
        self._past: dict[int, PastTrial] = {}  # by number, in their order; each is made anew only when it changes
        self._free: list[int] = []  # a heap of numbers, of trials that were free once
        self._leases: list[tuple[float, int]] = []  # a heap: when whose lease was to run out
        self._totals = _Totals()

    # ---- what deciding asks ----------------------------------------------------------------------------------

    def past_trials(self, study_id: int, asked: str | Sequence[str]) -> list[PastTrial]:
        """Read trials as a search knows them, by number: always with the metrics of the study."""
        return list(self._past.values())

    def readings_at(self, study_id: int, rung: int) -> dict[int, RungReading]:
        read = {number: trial.readings[rung : rung + 1] for number, trial in self._trials.items()}
        return {number: found[0] for number, found in read.items() if found}

    def counts(self, study_id: int) -> dict[TrialState, int]:
        """Count the trials in every state, also in those that none is in."""
        counts = dict.fromkeys(TrialState, 0)
        for trial in self._past.values():
            counts[trial.state] += 1
        return counts

    def spent(self, study_id: int) -> Spent:
        return self._totals.spent(self._clock.now_s)

    def enqueue(self, study_id: int, proposal: Proposal, *, revision: int = 0) -> bool:
        number = proposal.number
        if number >= self._study.n_trials or number in self._trials:
            return False
        is_last = not self._past or number > next(reversed(self._past))
        self._trials[number] = _Trial(spec=proposal.spec)
        self._past[number] = PastTrial(
            number=number,
            state=TrialState.QUEUED,
            layout=proposal.spec.layout,
            params=dict(proposal.params),
            added=proposal.decision.origin in (ADDED, TOLD),
        )
        if not is_last:
            self._past = dict(sorted(self._past.items()))
        heapq.heappush(self._free, number)
        return True

    def promote(self, study_id: int, promotion: Promotion, *, revision: int = 0) -> bool:
        past = self._past[promotion.trial]
        if past.state is not TrialState.PAUSED or past.may_pass != promotion.rung:
            return False
        self._change(promotion.trial, state=TrialState.QUEUED, may_pass=promotion.rung + 1)
        return True

    # ---- what training asks ----------------------------------------------------------------------------------

    def claim_next(self, study_id: int, worker_id: int, *, lease_s: float) -> MemoryClaim | None:
        """Take the first trial, by number, that is queued or whose lease has run out; None where there is none.

        A lease may be endless: that of a worker that beats in time, for as long as it lives. Of a study that is over
        only a trial that has begun is taken.
        """
        while (number := self._next_free()) is not None:
            trial = self._trials[number]
            if trial.attempts and trial.attempts[-1].reason is None:
                self._end_attempt(trial, EndReason.LOST)
            trial.epoch += 1
            if reason := _quarantine(trial.attempts):
                self._fail(number, reason)
                continue
            return self._claim(number, worker_id, lease_s)
        return None

    def beat(self, claim: MemoryClaim, step: int = 0) -> None:
        self._hold(claim, step)

    def commit(self, claim: MemoryClaim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
        self._hold(claim, checkpoint.step)
        self._write(claim.number, facts, checkpoint)

    def pause(self, claim: MemoryClaim, facts: Sequence[Fact], checkpoint: Artifact) -> None:
        if self._ended_as(claim) is EndReason.PAUSED:
            return
        trial = self._hold(claim, checkpoint.step)
        self._write(claim.number, facts, checkpoint)
        self._end_attempt(trial, EndReason.PAUSED)
        self._change(claim.number, state=TrialState.PAUSED)

    def finish(
        self,
        claim: MemoryClaim,
        result: TrialResult,
        facts: Sequence[Fact],
        artifacts: Sequence[Artifact],
    ) -> None:
        if self._ended_as(claim) is EndReason.FINISHED:
            return
        trial = self._hold(claim, result.steps)
        self._write(claim.number, facts, None)
        self._totals.flops += result.flops - trial.flops
        trial.flops = result.flops
        self._end_attempt(trial, EndReason.FINISHED)
        losses: dict[Loss, float] = {}
        if result.state is TrialState.COMPLETED:
            losses = {loss: value for loss in LOSSES if (value := finite(getattr(result, loss))) is not None}
            self._totals.note(losses)
        stop = next((fact for fact in facts if isinstance(fact, EarlyStop)), None)
        value = finite(getattr(result, self._study.loss)) if stop else losses.get(self._study.loss)
        metrics: dict[str, float] = {key: value for key, value in losses.items() if key in self._study.metrics}
        if result.state is TrialState.COMPLETED:
            metrics |= _recorded(facts, self._study.metrics)
        peak = _values(facts, "train", PEAK_MEMORY)
        self._change(
            claim.number,
            state=result.state,
            value=value,
            stopped_by=stop.rule if stop else "",
            metrics=metrics,
            layout_end=result.layout_end if result.state is TrialState.COMPLETED else "",
            peak_memory=peak[-1] if peak else None,
        )

    def release(self, claim: MemoryClaim, reason: EndReason, note: str = "") -> None:
        assert reason in (EndReason.STOPPED, EndReason.CRASHED), reason
        if self._ended_as(claim) is reason:
            return
        trial = self._hold(claim)
        self._end_attempt(trial, reason)
        self._change(claim.number, state=TrialState.QUEUED)
        trial.strikes += reason is EndReason.CRASHED
        if trial.strikes >= MAX_STRIKES:
            why = note or f"the process of worker {claim.worker_id} died"
            self._fail(claim.number, f"crashed {MAX_STRIKES} times without a new checkpoint; last: {why}")

    def forget_checkpoints(self, numbers: Sequence[int]) -> None:
        """Forget the checkpoints of paused trials: one that is promoted after all begins again."""
        for number in numbers:
            self._trials[number].checkpoint = None

    # ---- what became of a trial ------------------------------------------------------------------------------

    def trial(self, number: int) -> PastTrial:
        return self._past[number]

    def flops(self, number: int) -> float:
        """The FLOPs of its newest checkpoint, or in all."""
        return self._trials[number].flops

    def n_attempts(self, number: int) -> int:
        return len(self._trials[number].attempts)

    def error(self, number: int) -> str:
        """Why a trial was failed that did not end by itself; '' of any other."""
        return self._trials[number].error

    # ---- how -------------------------------------------------------------------------------------------------

    def _next_free(self) -> int | None:
        """The number of the first trial that may be taken, which is taken off the list."""
        while self._leases and self._leases[0][0] <= self._clock.now_s:
            heapq.heappush(self._free, heapq.heappop(self._leases)[1])
        begun_only = bool(self._study.limits.why_over(self.spent(STUDY_ID)))
        found, left = None, []
        while self._free and found is None:
            number = heapq.heappop(self._free)
            if begun_only and not self._trials[number].epoch:
                left.append(number)
            elif self._is_free(number):
                found = number
        for number in left:
            heapq.heappush(self._free, number)
        return found

    def _is_free(self, number: int) -> bool:
        state, trial = self._past[number].state, self._trials[number]
        return state is TrialState.QUEUED or (state is TrialState.RUNNING and trial.lease_until_s <= self._clock.now_s)

    def _claim(self, number: int, worker_id: int, lease_s: float) -> MemoryClaim:
        trial, study, now_s = self._trials[number], self._study, self._clock.now_s
        trial.attempts.append(_Attempt(began_s=now_s, heard_s=now_s, is_alive=math.isinf(lease_s)))
        self._totals.count(trial.attempts[-1], 1)
        past = self._change(number, state=TrialState.RUNNING)
        self._lend(number, lease_s)
        return MemoryClaim(
            number=number,
            epoch=trial.epoch,
            worker_id=worker_id,
            spec=trial.spec,
            lease_s=lease_s,
            checkpoint=trial.checkpoint,
            ladder=ladder_of(study.rungs, study.stop, past.may_pass),
            is_compared=study.stop is not None and study.stop.median is not None,
        )

    def _hold(self, claim: MemoryClaim, step: int = 0) -> "_Trial":
        """The claim's trial, its lease extended. Raises LeaseLost."""
        trial = self._trials[claim.number]
        attempt = trial.attempts[claim.epoch - 1]
        if trial.epoch != claim.epoch or attempt.reason is not None:
            why = f"the attempt is {attempt.reason}"
            if attempt.reason in (None, EndReason.LOST):
                why = f"lease expired {max(self._clock.now_s - attempt.heard_s - claim.lease_s, 0):.0f} s ago"
            raise LeaseLost(
                f"worker {claim.worker_id} no longer owns trial {claim.number} ({why}); its result is dropped"
            )
        self._totals.count(attempt, -1)
        attempt.heard_s, attempt.is_alive = self._clock.now_s, math.isinf(claim.lease_s)
        attempt.step = max(attempt.step, step)
        self._totals.count(attempt, 1)
        self._lend(claim.number, claim.lease_s)
        return trial

    def _lend(self, number: int, lease_s: float) -> None:
        until_s = self._trials[number].lease_until_s = self._clock.now_s + lease_s
        if math.isfinite(until_s):
            heapq.heappush(self._leases, (until_s, number))

    def _ended_as(self, claim: MemoryClaim) -> EndReason | None:
        """The reason for which this very attempt ended; None while it has not."""
        return self._trials[claim.number].attempts[claim.epoch - 1].reason

    def _end_attempt(self, trial: "_Trial", reason: EndReason) -> None:
        attempt = trial.attempts[-1]
        self._totals.count(attempt, -1)
        attempt.reason, attempt.is_alive = reason, False
        self._totals.count(attempt, 1)

    def _write(self, number: int, facts: Sequence[Fact], checkpoint: Artifact | None) -> None:
        """Keep the checkpoint, which forgives strikes, and of the facts what is kept."""
        trial = self._trials[number]
        trial.checkpoint, trial.strikes = checkpoint, 0 if checkpoint else trial.strikes
        read = [reading.flops for reading in facts if isinstance(reading, RungReading)]
        flops = max([trial.flops, *_values(facts, "train", "flops"), *read])
        self._totals.flops += flops - trial.flops
        trial.flops = flops
        if new := {fact.rung: fact for fact in facts if isinstance(fact, RungReading)}:
            known = {reading.rung: reading for reading in trial.readings}
            self._totals.flops += sum(reading.extra_flops for rung, reading in new.items() if rung not in known)
            trial.readings = tuple(reading for _, reading in sorted((known | new).items()))
            self._change(number)

    def _fail(self, number: int, error: str) -> None:
        self._trials[number].error = error
        self._change(number, state=TrialState.FAILED)

    def _change(self, number: int, **changes: Any) -> PastTrial:
        """Make anew what a search knows of a trial; of its readings it knows those that its state stands for."""
        past, readings = replace(self._past[number], **changes), self._trials[number].readings
        n_known = len(readings) if past.state.is_final else past.may_pass + (past.state is TrialState.PAUSED)
        past = self._past[number] = replace(past, readings=readings[:n_known])
        if past.state is TrialState.QUEUED:
            heapq.heappush(self._free, number)
        return past


# ---- what is kept -------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Attempt:
    began_s: float
    heard_s: float
    is_alive: bool  # and heard of at every moment
    step: int = 0  # the furthest that was heard of it
    reason: EndReason | None = None


@dataclass(kw_only=True)
class _Trial:
    spec: TrialSpec
    epoch: int = 0  # how often it was taken
    strikes: int = 0
    lease_until_s: float = 0.0  # while it runs
    checkpoint: Artifact | None = None
    flops: float = 0.0  # of its newest checkpoint, or in all
    readings: tuple[RungReading, ...] = ()  # at its rungs, from the lowest on
    attempts: list[_Attempt] = field(default_factory=list)
    error: str = ""


class _Totals:
    """What all trials have spent, kept up to date: it is asked for before each decision."""

    def __init__(self) -> None:
        self.flops = 0.0
        self._worked_s = 0.0  # by attempts that are over, or were heard of for the last time so far
        self._n_alive, self._alive_since_s = 0, 0.0  # the others, and the sum of the times at which they began
        self._first_s: float | None = None
        self._best: dict[Loss, float] = {}

    def count(self, attempt: _Attempt, sign: int) -> None:
        """Count an attempt, or with −1 take back that it was counted."""
        if self._first_s is None:
            self._first_s = attempt.began_s
        if attempt.is_alive:
            self._n_alive += sign
            self._alive_since_s += sign * attempt.began_s
        else:
            self._worked_s += sign * (attempt.heard_s - attempt.began_s)

    def note(self, losses: dict[Loss, float]) -> None:
        """Note the losses of a completed trial."""
        for loss, value in losses.items():
            self._best[loss] = min(value, self._best.get(loss, math.inf))

    def spent(self, now_s: float) -> Spent:
        worked_s = self._worked_s + self._n_alive * now_s - self._alive_since_s
        since_s = 0.0 if self._first_s is None else now_s - self._first_s
        return Spent(flops=self.flops, gpu_hours=worked_s / 3600, hours=since_s / 3600, best=dict(self._best))


def _values(facts: Sequence[Fact], split: str, name: str) -> list[float]:
    """The values of a metric, in the order of the facts."""
    return [fact.value for fact in facts if isinstance(fact, Metric) and (fact.split, fact.name) == (split, name)]


def _recorded(facts: Sequence[Fact], keys: Sequence[str]) -> dict[str, float]:
    """What facts say of metrics that are rows of a trial, by their keys: the median of the newest ones."""
    rows = {key: rows_of(key) for key in keys if key not in LOSSES and not tells(name_of(key))}
    newest = {key: _values(facts, of.split, of.name)[-of.n_newest :] for key, of in rows.items()}
    return {key: median(values) for key, values in newest.items() if values}


def _quarantine(attempts: Sequence[_Attempt]) -> str:
    """The reason for no further attempt when attempt after attempt was lost and the trial came no further; else ''."""
    before, newest = attempts[:-MOST_LOSSES], attempts[-MOST_LOSSES:]
    furthest = max((attempt.step for attempt in before), default=0)
    if len(newest) < MOST_LOSSES or any(
        attempt.reason is not EndReason.LOST or attempt.step > furthest for attempt in newest
    ):
        return ""
    return f"quarantined: {MOST_LOSSES} workers in a row were lost with it, and none came beyond step {furthest}"
