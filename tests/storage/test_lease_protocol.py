"""The lease protocol against a model of it that knows, for every claim ever made, who must be refused.

Checks of the end state miss most protocol mutants (a fence forgotten in one method, an epoch that is
not raised, a strike not counted); a random walk over all calls by workers old and new finds them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from growlab.errors import LeaseLost
from growlab.records import EndReason, Promotion, TrialState
from growlab.storage import MAX_STRIKES, MOST_LOSSES, Claim

N_OPEN = 2  # trials that are queued or running, at any time
N_WORKERS = 3


@dataclass
class Trial:
    """What must be true of a trial."""

    state: str = "queued"
    epoch: int = 0
    strikes: int = 0
    may_pass: int = 0  # rungs
    losses: int = 0  # in a row, none of which came further than the attempts before
    furthest: int = 0  # step, of the attempts before
    reached: int = 0  # by the newest attempt
    expired: bool = False
    checkpoint: int | None = None  # step
    facts: dict[int, int] = field(default_factory=dict)  # step -> epoch that wrote it last
    ends: dict[int, str | None] = field(default_factory=dict)  # epoch -> how that attempt ended

    @property
    def takes_workers(self) -> bool:
        return self.state in ("queued", "running")

    def is_held_by(self, claim: Claim) -> bool:
        return self.state == "running" and self.epoch == claim.epoch

    def begin(self) -> None:
        self.epoch += 1
        self.state, self.ends[self.epoch] = "running", None

    def give_back(self, reason: EndReason) -> None:
        self.end(reason, losses=0)
        self.strikes += reason is EndReason.CRASHED
        self.state = "failed" if self.strikes >= MAX_STRIKES else "queued"

    def lose(self) -> None:
        self.end(EndReason.LOST, losses=self.losses + 1 if self.reached <= self.furthest else 0)
        self.state = "failed" if self.losses >= MOST_LOSSES else "queued"

    def end(self, reason: EndReason, *, losses: int) -> None:
        self.ends[self.epoch] = reason
        self.losses, self.furthest, self.reached = losses, max(self.furthest, self.reached), 0


class LeaseProtocol(RuleBasedStateMachine):
    claims = Bundle("claims")  # all that were ever handed out, and most of them stale
    names = count()

    def __init__(self, lab: Any, make_promotion: Callable[[int, int], Promotion]) -> None:
        super().__init__()
        self.lab, self.make_promotion = lab, make_promotion
        lab.study_id = lab.add_study(f"study-{next(self.names)}", n_trials=1_000)
        self.workers = [lab.worker(f"gpu{at}") for at in range(N_WORKERS)]
        self.trials: dict[int, Trial] = {}
        self.newest: dict[int, Claim] = {}
        self.step = 0

    # ---- what may happen -------------------------------------------------------------------------------------

    @initialize()
    def propose_all(self) -> None:
        for _ in range(N_OPEN):
            self.propose()

    @precondition(lambda self: sum(trial.takes_workers for trial in self.trials.values()) < N_OPEN)
    @rule()
    def propose(self) -> None:
        number = len(self.trials)
        self.lab.enqueue(number)
        self.trials[number] = Trial()

    @rule(target=claims, worker=st.integers(0, N_WORKERS - 1))
    def claim(self, worker: int) -> Any:
        expected = self.take_in_model()
        claim = self.lab.claim(self.workers[worker])
        if expected is None:
            assert claim is None
            return multiple()
        trial = self.trials[expected]
        trial.expired = False
        checkpoint = None if trial.checkpoint is None else self.lab.checkpoint(trial.checkpoint)
        assert (claim.number, claim.epoch, claim.checkpoint) == (expected, trial.epoch, checkpoint)
        self.newest[claim.number] = claim
        return claim

    @precondition(lambda self: any(trial.state == "running" for trial in self.trials.values()))
    @rule(data=st.data())
    def silence(self, data: st.DataObject) -> None:
        """A worker is killed, stopped or cut off, and its lease runs out."""
        self.expire(data.draw(st.sampled_from([n for n, trial in self.trials.items() if trial.state == "running"])))

    def expire(self, number: int) -> None:
        self.trials[number].expired = True
        self.lab.run_out(number)

    @rule(claim=claims, step=st.integers(0, 3))
    def beat(self, claim: Claim, step: int) -> None:
        if self.is_accepted(claim, lambda: self.lab.store.beat(claim, step)):
            trial = self.trials[claim.number]
            trial.expired, trial.reached = False, max(trial.reached, step)

    @rule(claim=claims)
    def commit(self, claim: Claim) -> None:
        self.step += 1
        facts, checkpoint = [self.lab.val_loss(self.step)], self.lab.checkpoint(self.step)
        if self.is_accepted(claim, lambda: self.lab.store.commit(claim, facts, checkpoint)):
            trial = self.trials[claim.number]
            trial.strikes, trial.expired, trial.checkpoint, trial.reached = 0, False, self.step, self.step
            trial.facts[self.step] = claim.epoch

    @precondition(lambda self: hasattr(self.lab.store, "start_over"))  # simulated workers lose no file
    @rule(claim=claims)
    def start_over(self, claim: Claim) -> None:
        if self.is_accepted(claim, lambda: self.lab.store.start_over(claim, "sha256 differs")):
            trial = self.trials[claim.number]
            trial.expired, trial.checkpoint = False, None
            trial.facts.clear()

    @rule(claim=claims, state=st.sampled_from([state for state in TrialState if state.is_final]))
    def finish(self, claim: Claim, state: TrialState) -> None:
        self.step += 1
        result, facts = self.lab.result(state), [self.lab.val_loss(self.step)]
        if self.is_accepted(claim, lambda: self.lab.store.finish(claim, result, facts, []), EndReason.FINISHED):
            trial = self.trials[claim.number]
            trial.state, trial.checkpoint, trial.ends[trial.epoch] = state, None, "finished"
            trial.facts[self.step] = claim.epoch

    @rule(claim=claims)
    def pause(self, claim: Claim) -> None:
        self.step += 1
        facts, checkpoint = [self.lab.val_loss(self.step)], self.lab.checkpoint(self.step)
        if self.is_accepted(claim, lambda: self.lab.store.pause(claim, facts, checkpoint), EndReason.PAUSED):
            trial = self.trials[claim.number]
            trial.strikes, trial.checkpoint, trial.reached = 0, self.step, self.step
            trial.facts[self.step] = claim.epoch
            trial.state = "paused"
            trial.end(EndReason.PAUSED, losses=0)

    @precondition(lambda self: self.trials)
    @rule(data=st.data(), rung=st.integers(0, 2))
    def promote(self, data: st.DataObject, rung: int) -> None:
        number = data.draw(st.sampled_from(list(self.trials)))
        trial = self.trials[number]
        waits = (trial.state, trial.may_pass) == ("paused", rung)
        assert self.lab.store.promote(self.lab.study_id, self.make_promotion(number, rung)) is waits
        if waits:
            trial.state, trial.may_pass = "queued", rung + 1

    @rule(claim=claims, reason=st.sampled_from([EndReason.STOPPED, EndReason.CRASHED]))
    def release(self, claim: Claim, reason: EndReason) -> None:
        if self.is_accepted(claim, lambda: self.lab.store.release(claim, reason), reason):
            self.trials[claim.number].give_back(reason)

    @precondition(lambda self: any(trial.state == "running" for trial in self.trials.values()))
    @rule(target=claims, data=st.data(), worker=st.integers(0, N_WORKERS - 1))
    def crash_and_be_claimed_again(self, data: st.DataObject, worker: int) -> Any:
        """What a random walk seldom does three times in a row."""
        number = data.draw(st.sampled_from([n for n, trial in self.trials.items() if trial.state == "running"]))
        self.release(self.newest[number], EndReason.CRASHED)
        return self.claim(worker)

    @precondition(lambda self: any(trial.state == "running" for trial in self.trials.values()))
    @rule(data=st.data(), times=st.integers(1, 6))
    def be_lost_again_and_again(self, data: st.DataObject, times: int) -> None:
        """What it does ten times in a row even less."""
        number = data.draw(st.sampled_from([n for n, trial in self.trials.items() if trial.state == "running"]))
        for _ in range(times):
            if self.trials[number].state == "running":
                self.expire(number)
                self.claim(0)

    # ---- what must be true -----------------------------------------------------------------------------------

    @invariant()
    def queue_and_model_agree(self) -> None:
        of_model = self.trials.items()
        found = self.lab.kept()
        expected = {
            "trials": [(at, trial.state, trial.epoch, trial.strikes, trial.may_pass) for at, trial in of_model],
            "attempts": [(number, *end) for number, trial in of_model for end in trial.ends.items()],
            "facts": [(number, *fact) for number, trial in of_model for fact in trial.facts.items()],
            "checkpoints": [(at, trial.checkpoint) for at, trial in of_model if trial.checkpoint is not None],
            "promotions": [(number, rung) for number, trial in of_model for rung in range(trial.may_pass)],
        }
        assert found == {name: expected[name] for name in found}

    # ---- how -------------------------------------------------------------------------------------------------

    def take_in_model(self) -> int | None:
        """The number that the next claim must get: the first that is free and not quarantined."""
        for number, trial in sorted(self.trials.items()):
            if trial.state != "queued" and not (trial.state == "running" and trial.expired):
                continue
            if trial.state == "running":
                trial.lose()
            if trial.state == "failed":
                trial.epoch += 1
                continue
            trial.begin()
            return number
        return None

    def is_accepted(self, claim: Claim, write: Callable[[], None], ends_as: EndReason | None = None) -> bool:
        """Whether the write changes anything. It must be refused from all but the newest claim's holder."""
        trial = self.trials[claim.number]
        if trial.is_held_by(claim):
            write()
            return True
        if ends_as is not None and trial.ends[claim.epoch] == ends_as:  # told twice
            write()
            return False
        with pytest.raises(LeaseLost):
            write()
        return False


@pytest.mark.parametrize("n_examples", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_only_the_holder_of_the_newest_claim_ever_writes(queueing, make_promotion, n_examples):
    run_state_machine_as_test(
        lambda: LeaseProtocol(queueing, make_promotion),
        settings=settings(
            max_examples=n_examples,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
