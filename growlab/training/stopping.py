"""When a stop rule ends a trial (growlab.stopping): its own evaluations are followed here, others' readings elsewhere.

What is followed of them is part of the trial's counters, and so of its checkpoints: a trial that goes on after a kill
is stopped where it would have been. Nothing is drawn and nothing is measured for it; without a rule that strikes a
trial trains as it would without any.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from growlab.growth.triggers.stagnation import relative_improvement
from growlab.records import EarlyStop, RungReading
from growlab.stopping import StopRules

if TYPE_CHECKING:
    from growlab.training.trial import Attempt

Judge = Callable[[RungReading], EarlyStop | None]  # compares a trial with others at a mark


@dataclass
class Followed:
    """What stop rules remember of a trial's evaluations since its newest growth; losses in nats per token."""

    grown_step: int = 0  # of that growth
    best: float = math.inf  # val_loss, where it was better by the patience rule's threshold
    n_no_better: int = 0  # evaluations in a row since
    lowest: float = math.inf  # val_loss
    train_at_lowest: float = math.nan  # the training loss there
    n_apart: int = 0  # evaluations in a row that lie apart from both, on the sides that tell overfitting


class Stopping:
    """Asks a study's stop rules after a step; without rules none stops a trial."""

    def __init__(self, attempt: "Attempt", rules: StopRules | None, judge: Judge | None) -> None:
        self.attempt, self.run, self.rules, self._judge = attempt, attempt.run, rules, judge

    def by_itself(self) -> EarlyStop | None:
        """The stop that the trial's own evaluations ask for after this step, one of which may have been its own."""
        if not self._may_stop() or not self._follow():
            return None
        rules, followed = self.rules, self.run.counters.followed
        assert rules is not None
        patience, divergence = rules.patience, rules.divergence
        if divergence and followed.n_apart >= divergence.evaluations:
            return self._made("divergence", followed.lowest, followed.n_apart)
        if patience and followed.n_no_better >= patience.evaluations and self.run.progress >= patience.after:
            return self._made("patience", followed.best, followed.n_no_better)
        return None

    def among_others(self, reading: RungReading | None) -> EarlyStop | None:
        """The stop that is asked for by what others came to at the mark where the trial was read after this step."""
        if reading is None or self._judge is None or not self._may_stop():
            return None
        stop = self._judge(reading)
        if stop is not None:
            self.run.counters.note(reading.val_loss)  # of the model that it ends with
        return stop

    def _may_stop(self) -> bool:
        """Whether a rule may stop the trial where it stands.

        One that has spent its budget is over by itself, and while it is forked nobody knows which branch stays.
        """
        return self.rules is not None and not (self.run.finished or self.run.branch or self._is_young())

    def _is_young(self) -> bool:
        """Whether the newest growth has had less than `grace` of the budget; a dropped branch not counted."""
        assert self.rules is not None
        counters, budget = self.run.counters, self.run.spec.budget
        if counters.grown_flops is None:
            return False
        if budget.unit == "flops":
            trained = counters.trained_flops - counters.grown_flops
        else:
            per_step = self.run.spec.train.batch_size * self.run.spec.train.seq_len if budget.unit == "tokens" else 1
            trained = (counters.step - counters.grown_step) * per_step
        return trained < self.rules.grace * budget.amount or counters.step == counters.grown_step

    def _follow(self) -> bool:
        """Note the evaluation of this step; False where there was none."""
        counters, rules = self.run.counters, self.rules
        assert rules is not None
        last = counters.evaluated[-1:]
        if not last or last[0].step != counters.step:
            return False
        if counters.followed.grown_step != counters.grown_step:
            counters.followed = Followed(grown_step=counters.grown_step)
        followed, val_loss, train_loss = counters.followed, last[0].val_loss, self.attempt.reporter.train_loss
        if rules.patience:
            if relative_improvement(followed.best, val_loss) > rules.patience.threshold:
                followed.best, followed.n_no_better = val_loss, 0
            else:
                followed.n_no_better += 1
        if rules.divergence:
            margin = rules.divergence.margin
            if val_loss < followed.lowest:
                followed.lowest, followed.train_at_lowest = val_loss, train_loss
            is_apart = val_loss > followed.lowest + margin and train_loss < followed.train_at_lowest - margin
            followed.n_apart = followed.n_apart + 1 if is_apart else 0
        return True

    def _made(self, rule: Literal["patience", "divergence"], bound: float, n_evaluations: int) -> EarlyStop:
        counters = self.run.counters
        return EarlyStop(
            rule=rule,
            step=counters.step,
            flops=counters.flops,
            share=self.run.progress,
            val_loss=counters.val_loss,
            bound=bound,
            n_evaluations=n_evaluations,
        )
