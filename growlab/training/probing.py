"""Probing a growth: the trial is forked, trained in two branches at equal cost, and the better branch stays.

        fork ──► as it was ──(share of the budget)──► its val_loss ─┐
          └────► grown ──────(share of the budget)──► its val_loss ─┴─► the lower one trains on, at the cost of both

Both branches begin with the same weights, moments, data and random numbers, and see the same progress: the dropped one
is charged when the decision falls, which moves progress, and with it lr and curriculum, on by its share at once. It is
charged as training is anywhere else: for its steps, and in FLOPs for its snapshots of what growth.watch follows too. A
branch that diverges loses. The facts of a branch wait beside its weights, in checkpoints too, and become rows only
where it stays: of the dropped one nothing ever is in the database but what it cost and the loss that it came to.
"""

import math
from typing import TYPE_CHECKING

from growlab.recipes import TRIGGERS, Trying
from growlab.records import AS_IT_WAS, DROPPED_STEPS, GROWN, Fact, Metric, TrialProgress, TrialState
from growlab.specs import GrowthSpec
from growlab.training.branch import Branch
from growlab.training.fork import hold, stand
from growlab.training.recorder import Receiver
from growlab.training.run import TrialRun

if TYPE_CHECKING:
    from growlab.training.trial import Attempt


def trying_of(growth: GrowthSpec) -> Trying | None:
    """How a trial tries a growth before it keeps it; None where every growth stays."""
    trying: Trying | None = TRIGGERS[growth.trigger.name].read(growth.trigger.options).trying()
    return trying


class HeldBack:
    """A receiver of facts that become a recorder's once it is known that the branch stays on which they happened."""

    def __init__(self, run: TrialRun, recorder: Receiver) -> None:
        self.run, self.recorder = run, recorder

    def record(self, fact: Fact) -> None:
        if self.run.branch is None:
            self.recorder.record(fact)
        else:
            self.run.branch.facts.append(fact)

    def progress(self, progress: TrialProgress) -> None:
        self.recorder.progress(progress)


class Probing:
    """Forks a trial, changes over to its other branch and decides between both."""

    def __init__(self, attempt: "Attempt") -> None:
        self.attempt, self.run = attempt, attempt.run
        self.trying = trying_of(attempt.run.spec.growth)

    def grow(self) -> None:
        """Grow; or, where a growth is tried first, fork the trial where it stands and train on as it was."""
        if self.trying is None:
            self.attempt.grow()
        else:
            self._fork(self.trying)

    def goes_on_without(self, fault: TrialState) -> bool:
        """End the present branch by this fault; return whether the trial goes on, on its other branch.

        A leak is one of code, which no other branch makes good: the trial ends where it stands, and all is charged.
        """
        if fault is TrialState.DIVERGED and self.run.branch is not None:
            return self.end_branch(math.inf)
        self._keep_present_branch()
        return False

    def _fork(self, trying: Trying) -> None:
        run = self.run
        self.attempt.follow_curriculum()  # what it tells of this step happened to both branches
        run.branch = Branch(
            grown=False,
            begun_step=run.counters.step,
            begun_flops=run.counters.flops,
            ends_at=run.spent + max(1, round(trying.share * run.spec.budget.amount)),
            other=hold(run),
        )
        run.growth.pass_over()

    def end_branch(self, val_loss: float) -> bool:
        """End the present branch at this loss, inf where it diverged, and begin the other one, or keep the better one.

        Returns False where both diverged, and there is nothing to go on with.
        """
        branch = self.run.branch
        assert branch is not None
        self.attempt.follow_curriculum()  # before what the branch came to is held, or charged
        if not branch.grown:
            self._change_over(branch, val_loss)
            return True
        return self._decide(branch, val_loss)

    def _keep_present_branch(self) -> None:
        if (branch := self.run.branch) is not None:
            self._settle(branch, branch.facts, branch.other.step, branch.other.flops)

    def _change_over(self, branch: Branch, val_loss: float) -> None:
        """Keep the end of the first branch aside, and grow where the trial was forked."""
        attempt, run = self.attempt, self.run
        first_branch = hold(run)
        attempt.pause.begin(branch.begun_step)
        stand(run, branch.other)
        branch.grown, branch.as_it_was_loss, branch.other = True, val_loss, first_branch
        branch.facts, branch.other_facts = [], branch.facts
        attempt.recall()
        attempt.grow()

    def _decide(self, branch: Branch, val_loss: float) -> bool:
        assert self.trying is not None
        attempt, run = self.attempt, self.run
        dropped_before = run.counters.dropped_steps
        grown_stays = branch.as_it_was_loss - val_loss > self.trying.least  # never where both are inf
        if grown_stays:
            self._keep_present_branch()
        else:
            dropped = run.counters
            stand(run, branch.other)
            self._settle(branch, branch.other_facts, dropped.step, dropped.flops)
            attempt.recall()
        for split, name, value in (
            ("val", AS_IT_WAS, branch.as_it_was_loss),
            ("val", GROWN, val_loss),
            ("train", DROPPED_STEPS, run.counters.dropped_steps - dropped_before),
        ):
            attempt.recorder.record(Metric(step=branch.begun_step, split=split, name=name, value=value))
        return math.isfinite(val_loss if grown_stays else branch.as_it_was_loss)

    def _settle(self, branch: Branch, facts: list[Fact], dropped_step: int, dropped_flops: int) -> None:
        """End the probe: these facts become the trial's, which pays for a branch that came so far."""
        counters = self.run.counters
        counters.flops += dropped_flops - branch.begun_flops
        counters.dropped_flops += dropped_flops - branch.begun_flops
        counters.dropped_steps += dropped_step - branch.begun_step
        self.run.branch = None
        for fact in facts:
            self.attempt.recorder.record(fact)
