"""What becomes of a trial between its row in the database and the trainer's word of it. The database knows."""

from typing import cast

import pytest

from growlab.errors import GrowlabError
from growlab.records import EndReason, TrialResult, TrialState
from growlab.storage import Claim
from growlab.worker import supervisor
from growlab.worker.messages import Crashed, Ended, FromTrainer, Lost, Stopped, Train, TrainerSetup, Unfit
from growlab.worker.process import TrainerProcess

STORED = Ended(state=TrialState.COMPLETED, summary="val_loss 1.5000, 2.2000 bits per byte, d=16 conv mlp")


class Trainer:
    """Says these, one at each look, and then nothing."""

    def __init__(self, *answers: FromTrainer | None) -> None:
        self.answers, self.ended = list(answers), False

    def send(self, order: object) -> None:
        pass

    def receive(self, timeout_s: float) -> FromTrainer | None:
        return self.answers.pop(0) if self.answers else None

    def end(self) -> None:
        self.ended = True


def ask(worker: supervisor._Worker, trainer: Trainer, claim: Claim) -> FromTrainer:
    worker.trainer = cast(TrainerProcess, trainer)
    return worker._ask(Train(claim=claim, folder=""), claim)


def test_a_result_that_is_in_the_database_counts_before_the_trainer_says_so(
    worker: supervisor._Worker, claim: Claim, result: TrialResult
) -> None:
    worker.store.finish(claim, result, [], [])
    waits = [None] * 200  # looks at the pipe; the beat comes long before they are through
    trainer = Trainer(*waits, STORED)

    assert ask(worker, trainer, claim) == STORED
    assert not trainer.ended
    assert not trainer.answers  # or the next order would be answered by this one's


def test_a_result_counts_though_its_trainer_never_says_so(
    worker: supervisor._Worker, claim: Claim, result: TrialResult
) -> None:
    worker.store.finish(claim, result, [], [])
    trainer = Trainer()

    assert ask(worker, trainer, claim) == STORED
    assert trainer.ended


def test_a_trainer_that_died_after_it_had_stored_its_result_crashed_nothing(
    worker: supervisor._Worker, claim: Claim, result: TrialResult
) -> None:
    worker.store.finish(claim, result, [], [])
    worker.trainer = cast(TrainerProcess, Trainer(Crashed("the trainer process died (signal SIGKILL)")))

    worker._train_claimed(claim)

    assert worker.n_trials == 1
    assert worker.store.trial(worker.stored.id, 0).state is TrialState.COMPLETED


def test_the_trainer_of_a_trial_that_is_another_workers_is_ended(worker: supervisor._Worker, claim: Claim) -> None:
    other = worker.store.register_worker(name="gpu1", device="cpu", versions={})
    while worker.store.claim_next(worker.stored.id, other, lease_s=60) is None:
        pass
    trainer = Trainer()

    answer = ask(worker, trainer, claim)

    assert isinstance(answer, Lost)
    assert "worker gpu0 no longer owns trial 0" in answer.reason
    assert trainer.ended


def test_a_trainer_that_dies_while_we_are_stopped_is_no_strike(worker: supervisor._Worker, claim: Claim) -> None:
    """Whoever stops a machine kills what is on it in any order."""
    worker.ask_to_stop()
    worker.trainer = cast(TrainerProcess, Trainer(Crashed("the trainer process died (signal SIGKILL)")))

    worker._train_claimed(claim)

    trial = worker.store.trial(worker.stored.id, 0)
    (attempt,) = worker.store.attempts(trial.id)
    assert (trial.state, trial.strikes) == (TrialState.QUEUED, 0)
    assert (attempt.end_reason, attempt.note) == (EndReason.STOPPED, "the trainer process died (signal SIGKILL)")


def test_a_trainer_that_does_not_stop_is_killed_and_that_is_no_strike(worker: supervisor._Worker, claim: Claim) -> None:
    worker.ask_to_stop()
    trainer = Trainer()

    assert isinstance(ask(worker, trainer, claim), Stopped)
    assert trainer.ended


# ---- trainers that die elsewhere ---------------------------------------------------------------------------------


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """Those that will be started, the first one first."""
    waiting: list[Trainer] = []

    def start(setup: TrainerSetup) -> Trainer:
        return waiting.pop(0)

    monkeypatch.setattr(supervisor, "TrainerProcess", start)
    return waiting


def test_a_trainer_that_dies_while_it_proposes_is_replaced(worker: supervisor._Worker, trainers: list[Trainer]) -> None:
    worker.trainer = cast(TrainerProcess, Trainer(Crashed("the trainer process died (signal SIGKILL)")))

    assert worker._propose(worker.store.tally(worker.stored.id))

    assert worker.trainer is None
    assert worker.deaths == 1


def test_a_worker_leaves_when_no_trainer_lives_long_enough_to_answer(
    worker: supervisor._Worker, trainers: list[Trainer]
) -> None:
    died = Crashed("the trainer process died (exit code 1)")
    trainers += [Trainer(died) for _ in range(supervisor.MOST_DEATHS)]
    for _ in range(supervisor.MOST_DEATHS):
        assert not worker._start_trainer()

    with pytest.raises(GrowlabError, match=r"^the trainer died 10 times in a row; last: .*exit code 1"):
        worker._start_trainer()


def test_an_answer_forgives_the_deaths_before_it(worker: supervisor._Worker, claim: Claim) -> None:
    worker.deaths, worker.fruitless = 9, ["died"] * 9

    ask(worker, Trainer(STORED), claim)

    assert (worker.deaths, worker.fruitless) == (0, [])


def test_a_trainer_that_dies_in_a_trial_is_a_strike_of_the_trial_however_many_died_before(
    worker: supervisor._Worker, claim: Claim
) -> None:
    worker.deaths, worker.fruitless = 9, ["died"] * 9
    worker.trainer = cast(TrainerProcess, Trainer(Crashed("the trainer process died (signal SIGSEGV)")))

    worker._train_claimed(claim)

    trial = worker.store.trial(worker.stored.id, 0)
    assert (trial.state, trial.strikes) == (TrialState.QUEUED, 1)
    assert len(worker.fruitless) == 9


def test_what_is_no_answer_to_a_proposal_ends_the_worker_in_words(worker: supervisor._Worker) -> None:
    worker.trainer = cast(TrainerProcess, Trainer(Unfit("corpus.txt: cannot be read", is_usage=False)))

    with pytest.raises(GrowlabError, match=r"^no trial could be proposed: corpus.txt: cannot be read"):
        worker._propose(worker.store.tally(worker.stored.id))
