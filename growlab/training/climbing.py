"""How a trial climbs its rungs (growlab.rungs): where it is read, what a reading is, and where it has to wait.

A rung's mark is a share of the budget's FLOPs. The trial is read at the end of the first step by which it has spent
that much, whatever train.eval_every says, but

- while it is forked (growlab.training.probing) not before it is known which branch stays;
- while its newest growth has trained for less than `grace` of the budget, a dropped branch not counted, not before it
  has, as a growth costs loss at first; but by the mark of the next rung, or by the end of the budget, at the latest;
- at one rung a step: a step that passes two marks is read at the lower one, and the one after it at the other.

At the end of its budget a trial waits for nothing, and a reading that was still due is its result.

Training is what it would be without rungs, bit for bit: a reading leaves weights, moments, random numbers, triggers and
curriculum as they are, and of a trial's counters moves one, the number of readings.
"""

import math
from typing import TYPE_CHECKING

from growlab.finite import finite
from growlab.records import Paused, RungReading, TrialState
from growlab.rungs import Ladder, Reading
from growlab.training.evaluation import bits_per_byte
from growlab.training.fork import decay_off
from growlab.training.run import TrialRun

if TYPE_CHECKING:
    from growlab.training.trial import Attempt

AVERAGED_FROM = 0.8  # of a rung's mark: the weights after that are averaged
LEAST_AVERAGED = 32  # models, of twice as many steps or fewer every one; where there are more, at equal distances
BRANCH_SHARE = 0.1  # of the FLOPs spent so far, which a branch is decayed over


class Climbing:
    """Reads a trial where it comes to a rung; without a ladder there is none."""

    def __init__(self, attempt: "Attempt", ladder: Ladder | None) -> None:
        self.attempt, self.run, self.ladder = attempt, attempt.run, ladder
        self._marks: tuple[int, ...] = ()
        self._ends: tuple[int, ...] = ()  # by when a rung is read at the latest
        self._grace = 0  # FLOPs
        self.newest: RungReading | None = None  # that was taken after this step
        if ladder is not None:
            budget = self.run.spec.budget
            assert budget.unit == "flops", "a study with rungs has a budget in FLOPs"
            self._marks = ladder.rungs.marks(budget.amount)
            self._ends = (*self._marks[1:], budget.amount)
            self._grace = round(ladder.rungs.grace * budget.amount)

    def climb(self) -> Paused | TrialState | None:
        """Read the trial, where that is due after this step. Return what ends it here: a rung that it may not pass, or
        a loss that is no finite number.
        """
        run, self.newest = self.run, None
        if self.ladder is None or run.counters.n_readings == len(self._marks):
            return None
        is_due = self._is_due()
        if self.ladder.rungs.reading == "average" and (is_due or self._is_averaged()):
            run.average.add(run.named_parameters())
        if not is_due:
            return None
        reading = self._read("trunk" if run.finished else self.ladder.rungs.reading)
        if reading is None:
            return TrialState.DIVERGED
        run.counters.n_readings += 1
        self.newest = reading
        self.attempt.recorder.record(reading)
        is_passed = reading.rung < self.ladder.may_pass or run.finished
        return None if is_passed else Paused(reading=reading)

    def _is_due(self) -> bool:
        run, counters = self.run, self.run.counters
        rung = counters.n_readings
        if counters.flops < self._marks[rung] or run.branch is not None:
            return False
        is_young = counters.grown_flops is not None and counters.trained_flops - counters.grown_flops < self._grace
        return not is_young or counters.flops >= self._ends[rung]

    def _is_averaged(self) -> bool:
        """Whether the weights after this step belong to the mean."""
        run, mark = self.run, self._marks[self.run.counters.n_readings]
        n_steps = (1 - AVERAGED_FROM) * mark / run.flops_per_step
        every = max(1, int(n_steps / LEAST_AVERAGED))
        return run.counters.flops >= AVERAGED_FROM * mark and run.counters.step % every == 0

    def _read(self, asked: Reading) -> RungReading | None:
        """Read the trial where it stands; None where a loss is no finite number."""
        run, trunk = self.run, self._trunk_loss()
        val_loss, extra_flops = (trunk, 0) if asked == "trunk" else loss_of(run, asked)
        counters = run.counters  # others than before a branch
        run.average.forget()
        self.attempt.reporter.begin_anew()  # a reading slows down no row's speed
        if not (math.isfinite(trunk) and math.isfinite(val_loss)):
            return None
        return RungReading(
            rung=counters.n_readings,
            step=counters.step,
            mark=self._marks[counters.n_readings],
            flops=counters.flops,
            val_loss=val_loss,
            bits_per_byte=finite(bits_per_byte(val_loss, run.corpus.val_bytes_per_token)),
            slope=self._slope(trunk),
            extra_flops=extra_flops,
        )

    def _trunk_loss(self) -> float:
        """The loss of the model as it is: that of this step's evaluation, unless it has grown since."""
        counters = self.run.counters
        last = counters.evaluated[-1:]
        if last and last[0].step == counters.step > counters.grown_step:
            return last[0].val_loss
        return loss_of(self.run, "trunk")[0]

    def _slope(self, trunk: float) -> float | None:
        """The trunk's change of loss over ln FLOPs since the evaluation before; None where it has grown since then."""
        counters = self.run.counters
        before = [evaluated for evaluated in counters.evaluated if evaluated.step < counters.step]
        if not before or before[-1].step <= counters.grown_step:
            return None
        return (trunk - before[-1].val_loss) / (math.log(counters.flops) - math.log(before[-1].flops))


def loss_of(run: TrialRun, asked: Reading) -> tuple[float, int]:
    """The validation loss that a reading is of, in nats per token, and the FLOPs that this cost beyond evaluating.

    The run stands afterwards where it stood, and has noted nothing of it.
    """
    match asked:
        case "trunk":
            return run.measure().loss, 0
        case "average":
            with run.average.in_place_of(run.named_parameters()):
                return run.measure().loss, 0
        case "branch":
            decayed = decay_off(run, BRANCH_SHARE)
            return decayed.val_loss, decayed.flops
