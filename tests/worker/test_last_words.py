"""A beat between a result's row and the trainer's word of it finds the attempt finished: the trial is not lost."""

import io
from pathlib import Path
from typing import cast

import pytest

from growlab.errors import LeaseLost
from growlab.records import TrialState
from growlab.storage import Claim, Store
from growlab.study import Study
from growlab.worker import supervisor
from growlab.worker.display import PlainDisplay
from growlab.worker.messages import Ended, FromTrainer, Lost, Train
from growlab.worker.supervisor import WorkerOptions


class Trainer:
    """Says these, one at each look."""

    def __init__(self, *answers: FromTrainer | None) -> None:
        self.answers, self.ended = list(answers), False

    def send(self, order: object) -> None:
        pass

    def receive(self, timeout_s: float) -> FromTrainer | None:
        return self.answers.pop(0) if self.answers else None

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def ask(store: Store, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What a worker makes of a trainer whose attempt has ended in the database."""
    options = WorkerOptions(storage_url="sqlite:///growlab.db", artifacts=tmp_path, lease_s=0.0)
    worker = supervisor._Worker(store, store.study(study.name), options, PlainDisplay(io.StringIO()))

    def beat(_: object) -> None:
        raise LeaseLost("the attempt is finished")

    monkeypatch.setattr(store, "beat", beat)
    monkeypatch.setattr(supervisor, "LAST_WORDS_S", 0.2)

    def ask(trainer: Trainer) -> FromTrainer:
        worker.trainer = cast(supervisor._TrainerProcess, trainer)
        claim = cast(Claim, object())
        return worker._ask(Train(claim=claim, folder=""), claim)

    return ask


def test_a_result_that_is_told_after_the_beat_counts(ask) -> None:
    told = Ended(state=TrialState.COMPLETED, words="val_loss 1.5")
    trainer = Trainer(None, None, told)

    assert ask(trainer) == told
    assert not trainer.ended


def test_a_trainer_that_says_nothing_is_ended(ask) -> None:
    trainer = Trainer()

    assert ask(trainer) == Lost("the attempt is finished")
    assert trainer.ended
