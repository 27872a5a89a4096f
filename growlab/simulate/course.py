"""The course of a simulated training: where it is read, where it ends, and when it is where, by the FLOPs it spent."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from growlab.errors import UsageError
from growlab.records import RungReading, TrialState
from growlab.rungs import Rungs
from growlab.trainings import Training

BRANCH_COST = 0.1  # of a reading from a branch, in what was spent before it


@dataclass(frozen=True, kw_only=True)
class Course:
    training: Training
    readings: tuple[RungReading, ...]  # at the rungs that it comes to, from the lowest on
    flops: int  # at its end
    flops_per_s: float  # of a worker of usual speed; inf where nothing is spent

    def seconds(self, start: int, end: int) -> float:
        """The time from one amount of FLOPs to another, readings on the way included."""
        extra = sum(reading.extra_flops for reading in self.readings if start < reading.flops <= end)
        return (end - start + extra) / self.flops_per_s

    def reached(self, start: int, seconds: float) -> int:
        """The amount of FLOPs that is reached from another one after so long."""
        if math.isinf(self.flops_per_s):
            return self.flops
        left, at = seconds * self.flops_per_s, start
        for reading in self.readings:
            if reading.flops <= start:
                continue
            if left < reading.flops - at:
                break
            left -= reading.flops - at + reading.extra_flops
            at = reading.flops
            if left <= 0:
                return at
        return min(at + int(left), self.flops)


def course_of(training: Training, rungs: Rungs | None, flops_per_s: float) -> Course:
    """The course of a training that came to its end; with a pace of 0 at its own.

    Raises UsageError where the training does not say its pace, or its loss at a rung.
    """
    found = tuple(_readings(training, rungs)) if rungs else ()
    n_rungs = len(rungs.shares) if rungs else 0
    flops = training.flops
    if rungs and training.state is not TrialState.COMPLETED and len(found) < n_rungs:  # it failed before it was read
        flops = min(flops, rungs.marks(training.budget_flops)[len(found)])
    return Course(training=training, readings=found, flops=flops, flops_per_s=flops_per_s or _own_pace(training))


def _own_pace(training: Training) -> float:
    if not training.flops:
        return math.inf
    if not training.elapsed_s:
        raise UsageError(
            f"the table does not say how long trainings took (elapsed_s), as that of {training.layout}; "
            "give the pace of a worker: --flops-per-s 1e12"
        )
    return training.flops / training.elapsed_s


def _readings(training: Training, rungs: Rungs) -> Iterator[RungReading]:
    """What is read at each rung that the training comes to: as it was read there, else as its curve says."""
    recorded = list(training.readings)
    for rung, (share, mark) in enumerate(zip(rungs.shares, rungs.marks(training.budget_flops), strict=True)):
        own = [reading for reading in recorded if math.isclose(reading.mark, mark, rel_tol=1e-6, abs_tol=1)]
        if own:
            yield replace(own[0], rung=rung)
            continue
        val_loss = training.loss_at(share)
        if val_loss is None:
            if training.state is TrialState.COMPLETED:
                raise UsageError(_unknown_at(training, share))
            return
        if mark >= training.flops:
            return
        bits, at_end = (training.losses.get(loss) for loss in ("bits_per_byte", "val_loss"))
        yield RungReading(
            rung=rung,
            step=mark,
            mark=mark,
            flops=mark,
            val_loss=val_loss,
            bits_per_byte=bits * val_loss / at_end if bits and at_end else None,  # a text has one ratio of them
            slope=_slope(training, share, val_loss),
            extra_flops=round(BRANCH_COST * mark) if rungs.reading == "branch" else 0,
        )


def _slope(training: Training, share: float, val_loss: float) -> float | None:
    """The change of loss over ln FLOPs since the share before that is known; None where there is none."""
    before = [known for known in training.curve if known < share * (1 - 1e-9)]
    if not before:
        return None
    return (val_loss - training.curve[before[-1]]) / math.log(share / before[-1])


def _unknown_at(training: Training, share: float) -> str:
    known = f"from {min(training.curve):.4g} of it on" if training.curve else "at none"
    remedy = f"such as rungs.first={min(training.curve):.4g}" if training.curve else "or leave rungs out"
    return (
        f"the table says nothing of val_loss at the rung at {share:.4g} of the budget, as of {training.layout}: "
        f"it is known {known}; take other rungs, {remedy}"
    )
