"""A worker that trains nothing: it arrives where a training would, dies, or is asked to stop.

    look ──► a claim? ── begin ──► arrive at a rung or at the end ──► pause | finish ──► look
             │             └─◄── at a mark at which trials are compared: finish as stopped, or go on
             else decide ──► New, Promote: claim once more; Wait: idle, until something may have changed

    die        the last checkpoint is what is left, and the trial is free once the lease has run out
    preempt    the trial is saved where it stands, and is free at once

A step of a simulated training is a FLOP, so that a checkpoint says how far it has come.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from growlab.metrics import rows_of
from growlab.records import (
    PEAK_MEMORY,
    Artifact,
    EarlyStop,
    EndReason,
    Fact,
    Loss,
    Metric,
    RungReading,
    TrialResult,
    TrialState,
)
from growlab.simulate.clock import Clock, Event
from growlab.simulate.conditions import Conditions
from growlab.simulate.course import Course
from growlab.simulate.memory import MemoryClaim, MemoryQueue
from growlab.trainings import Training


class Doing(StrEnum):
    TRAINING = "training"
    IDLE = "idle"  # there is nothing to train, or to propose
    AWAY = "away"  # it died, or was asked to stop, and is not back yet


@dataclass(kw_only=True)
class Attempt:
    """One worker's try at a trial."""

    claim: MemoryClaim
    course: Course
    began_s: float
    start: int  # FLOPs
    end: int  # of the rung at which it pauses, of the next mark at which it is compared, or of the budget
    saved: int  # FLOPs of the newest checkpoint
    pauses: bool
    compared: RungReading | None  # with others, at its end
    planned: list[Event] = field(default_factory=list)  # its arrival, and its next checkpoint


class Host(Protocol):
    """The place where workers are."""

    def look(self, worker: "Worker") -> None:
        """Have it begin a trial, if there is one for it; else it is idle, and asked again when there may be one."""
        ...

    def stop(self, number: int, reading: RungReading) -> EarlyStop | None:
        """Say whether a trial that has come to a mark is stopped there, by what others came to."""
        ...

    def freed(self) -> None:
        """Hear that another worker may take a trial now."""
        ...

    def arrived(self, number: int) -> None:
        """Hear that a trial was paused or ended."""
        ...


class Worker:
    """One of the simulated workers, between its events."""

    def __init__(
        self,
        number: int,
        conditions: Conditions,
        clock: Clock,
        queue: MemoryQueue,
        host: Host,
        *,
        saves: bool,
    ) -> None:
        """With `saves` every checkpoint is written; else the last one before a death, as nobody sees the others."""
        self.number, self.clock, self.queue = number, clock, queue
        self.n_deaths = self.n_preemptions = 0
        self.lost_flops = 0  # that were trained, and are trained again
        self.spent_s = dict.fromkeys(Doing, 0.0)
        self._conditions, self._fate = conditions, conditions.fate(number)
        self._host, self._saves = host, saves
        self._doing, self._since_s = Doing.IDLE, clock.now_s
        self._attempt: Attempt | None = None
        self._planned: list[Event] = []  # what is to happen to it while it is there

    @property
    def speed(self) -> float:
        return self._fate.speed

    @property
    def is_idle(self) -> bool:
        return self._doing is Doing.IDLE

    def come(self) -> None:
        """Be there, and look for something to train."""
        self.turn_to(Doing.IDLE)
        fates = ((self._fate.until_death_s(), self.die), (self._fate.until_preemption_s(), self.preempt))
        self._planned = [self.clock.after(until_s, happens) for until_s, happens in fates if math.isfinite(until_s)]
        self._host.look(self)

    def turn_to(self, doing: Doing) -> None:
        """Do something else from now on; what it did until now is added up."""
        self.spent_s[self._doing] += self.clock.now_s - self._since_s
        self._doing, self._since_s = doing, self.clock.now_s

    # ---- a trial ---------------------------------------------------------------------------------------------

    def begin(self, claim: MemoryClaim, course: Course) -> None:
        """Train a claimed trial to the rung that it may not pass, or to its end."""
        self.turn_to(Doing.TRAINING)
        start = claim.checkpoint.step if claim.checkpoint else 0
        self.lost_flops += round(self.queue.flops(claim.number)) - start
        self._go_on(claim, course, start)

    def _go_on(self, claim: MemoryClaim, course: Course, start: int) -> None:
        """Train a trial from so many FLOPs on, as far as nothing is to be decided of it."""
        may_pass = claim.ladder.may_pass if claim.ladder else 0
        rung = next((reading for reading in course.readings if reading.rung >= may_pass), None)
        to_come = (reading for reading in course.readings if start < reading.flops < course.flops)
        mark = next(to_come, None) if claim.is_compared else None
        last = rung or mark
        attempt = self._attempt = Attempt(
            claim=claim,
            course=course,
            began_s=self.clock.now_s,
            start=start,
            end=last.flops if last else course.flops,
            saved=start,
            pauses=rung is not None,
            compared=mark,
        )
        attempt.planned = [self.clock.after(course.seconds(start, attempt.end) / self.speed, self._arrive)]
        if self._saves:
            self._plan_a_save(attempt)

    def _arrive(self) -> None:
        attempt = self._put_down()
        assert attempt is not None
        facts = _facts(attempt, attempt.end)
        if attempt.pauses:
            self.queue.pause(attempt.claim, facts, _checkpoint(attempt.end))
        elif attempt.compared is None:
            self.queue.finish(attempt.claim, _result(attempt), facts, [])
        elif stop := self._host.stop(attempt.claim.number, attempt.compared):
            self.queue.finish(attempt.claim, _stopped(attempt, attempt.compared), [*facts, stop], [])
        else:
            self.queue.commit(attempt.claim, facts, _checkpoint(attempt.end))
            self._go_on(attempt.claim, attempt.course, attempt.end)
            return
        self.turn_to(Doing.IDLE)
        self._host.arrived(attempt.claim.number)
        self._host.look(self)

    def _save(self, at: int) -> None:
        attempt = self._attempt
        assert attempt is not None
        if at > attempt.saved:
            self.queue.commit(attempt.claim, _facts(attempt, at), _checkpoint(at))
            attempt.saved = at

    def _plan_a_save(self, attempt: Attempt) -> None:
        def save() -> None:
            self._save(self._reached(self.clock.now_s))
            self._plan_a_save(attempt)

        attempt.planned[1:] = [self.clock.after(self._conditions.checkpoint_every_s, save)]

    def _put_down(self) -> Attempt | None:
        """Let nothing more become of the trial here."""
        attempt, self._attempt = self._attempt, None
        for event in attempt.planned if attempt else []:
            event.call_off()
        return attempt

    def _reached(self, at_s: float) -> int:
        """The FLOPs that the trial has spent by then."""
        attempt = self._attempt
        assert attempt is not None
        return min(attempt.course.reached(attempt.start, (at_s - attempt.began_s) * self.speed), attempt.end)

    # ---- what happens to it ----------------------------------------------------------------------------------

    def die(self) -> None:
        self.n_deaths += 1
        if attempt := self._attempt:
            every_s = self._conditions.checkpoint_every_s
            n_saved = math.floor((self.clock.now_s - attempt.began_s) / every_s)
            self._save(self._reached(attempt.began_s + n_saved * every_s))
            reached = self._reached(self.clock.now_s)
            self.lost_flops += reached - attempt.saved
            # its last beat; until now its lease was without end, as it beat in time
            self.queue.beat(replace(attempt.claim, lease_s=self._conditions.lease_s), reached)
            self.clock.after(self._conditions.lease_s, self._host.freed)
        self._leave()

    def preempt(self) -> None:
        self.n_preemptions += 1
        if attempt := self._attempt:
            self._save(self._reached(self.clock.now_s))
            self.queue.release(attempt.claim, EndReason.STOPPED)
            self._host.freed()
        self._leave()

    def _leave(self) -> None:
        self.leave_for_good()
        self.clock.after(self._conditions.away_s, self.come)

    def leave_for_good(self) -> None:
        self._put_down()
        for event in self._planned:
            event.call_off()
        self.turn_to(Doing.AWAY)


def _checkpoint(flops: int) -> Artifact:
    return Artifact(kind="checkpoint", step=flops, path="", sha256="", n_bytes=0)


def _facts(attempt: Attempt, until: int) -> list[Fact]:
    """What has become of a trial since its newest checkpoint."""
    readings = [reading for reading in attempt.course.readings if attempt.saved < reading.flops <= until]
    facts: list[Fact] = [Metric(step=until, split="train", name="flops", value=until), *readings]
    if until == attempt.course.flops:
        facts += _last_facts(attempt.course.training, until)
    return facts


def _last_facts(training: Training, step: int) -> Iterator[Fact]:
    """What a trial records at its last step."""
    for key, value in training.metrics.items():
        rows = rows_of(key)
        yield Metric(step=step, split=rows.split, name=rows.name, value=value)
    if training.peak_memory is not None:
        yield Metric(step=step, split="train", name=PEAK_MEMORY, value=training.peak_memory)


def _result(attempt: Attempt) -> TrialResult:
    training = attempt.course.training
    losses = training.losses if training.state is TrialState.COMPLETED else {}
    return _ended(attempt, training.state, attempt.course.flops, losses, training.elapsed_s or 0.0)


def _stopped(attempt: Attempt, reading: RungReading) -> TrialResult:
    """The result of a trial that ends at a mark, with what it came to there."""
    losses: dict[Loss, float] = {"val_loss": reading.val_loss, "best_val_loss": reading.val_loss}
    if reading.bits_per_byte is not None:
        losses["bits_per_byte"] = reading.bits_per_byte
    took_s = attempt.course.seconds(0, attempt.end)
    return _ended(attempt, TrialState.STOPPED, attempt.end, losses, took_s)


def _ended(
    attempt: Attempt, state: TrialState, flops: int, losses: Mapping[Loss, float], elapsed_s: float
) -> TrialResult:
    return TrialResult(
        state=state,
        layout_end=attempt.course.training.layout_end,
        depth_end=0,
        n_params=0,
        val_loss=losses.get("val_loss"),
        best_val_loss=losses.get("best_val_loss"),
        bits_per_byte=losses.get("bits_per_byte"),
        flops=flops,
        tokens=0,
        steps=flops,
        elapsed_s=elapsed_s,
    )
