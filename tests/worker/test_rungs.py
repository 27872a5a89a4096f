"""A study with rungs as its workers see it: who pauses, who is asked again, what goes on, and when all is done."""

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growlab.preparation.checking import prepare
from growlab.records import Artifact, EndReason, Paused, Promotion, RungReading, TrialState
from growlab.rungs import Ladder, Rungs
from growlab.storage import Claim, Store
from growlab.study import Study
from growlab.study.file import read_study_file
from growlab.worker import supervisor
from growlab.worker.display import paused_text, waiting_text
from growlab.worker.keeping import forget_paused, keep_best
from growlab.worker.messages import (
    Crashed,
    Ended,
    FromTrainer,
    Lost,
    NoneWanted,
    Propose,
    Proposed,
    Stop,
    ToTrainer,
    Train,
)

RUNGS = Rungs(first=0.25, factor=2)  # two of them
READING = RungReading(rung=0, step=4, mark=250, flops=260, val_loss=2.5, bits_per_byte=3.0, slope=None)
PAUSED = TrialState.PAUSED

STUDY = """
name: tiny
n_trials: 3
data: {path: corpus.txt, val_fraction: 0.1}
layouts: {blocks: {conv: {kernel: 3}, mlp: {}}, d_model: 16, depth: [2, 2]}
train: {batch_size: 4, seq_len: 16, lr: search, eval_every: 4}
budget: {flops: 4e7}
rungs: {first: 0.25, factor: 2}
sampler: random
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("".join(f"{at} the quick brown fox jumps over the dog\n" for at in range(60)))
    (tmp_path / "tiny.yaml").write_text(STUDY)
    return prepare(read_study_file(tmp_path / "tiny.yaml"), [], print)[0]


def checkpoint(claim: Claim, step: int = 4) -> Artifact:
    path = f"tiny-1/{claim.number:05d}/checkpoint-{step:08d}-abc.safetensors"
    return Artifact(kind="checkpoint", step=step, path=path, sha256="ab" * 32, n_bytes=8)


def pause(store: Store, claim: Claim, reading: RungReading = READING) -> None:
    store.pause(claim, [reading], checkpoint(claim))


def promote(store: Store, claim: Claim) -> None:
    assert claim.ladder is not None
    promotion = Promotion(trial=claim.number, rung=claim.ladder.may_pass, finished=(), running=(0,), climbs=())
    assert store.promote(claim.study_id, promotion)


def other_worker(store: Store) -> int:
    return store.register_worker(name="gpu1", device="cpu", versions={})


# ---- a trial that comes to a rung ----------------------------------------------------------------------------------


def test_a_trial_that_comes_to_a_rung_is_paused_and_no_trial_of_this_workers_end(
    worker: supervisor._Worker, claim: Claim, play: Callable, screen: io.StringIO
) -> None:
    def train(order: ToTrainer) -> Iterable[FromTrainer]:
        pause(worker.store, claim)
        yield Paused(reading=READING)

    worker.trainer = play(train)

    worker._train_claimed(claim)

    assert (worker.n_trials, worker.n_paused) == (0, 1)
    assert screen.getvalue().splitlines()[1:] == ["trial 0: paused at rung 1 of 2: val_loss 2.5000"]


def test_a_pause_that_is_in_the_database_counts_before_the_trainer_says_so(
    worker: supervisor._Worker, claim: Claim, play: Callable
) -> None:
    """It deletes other checkpoints meanwhile, and the next beat finds that the lease is gone."""
    pause(worker.store, claim)
    worker.trainer = play()

    assert worker._ask(Train(claim=claim, folder=""), claim) == Paused(reading=READING)


def test_a_trainer_that_is_killed_between_its_pause_and_its_answer_crashed_nothing(
    worker: supervisor._Worker, claim: Claim, play: Callable, screen: io.StringIO
) -> None:
    def train(order: ToTrainer) -> Iterable[FromTrainer]:
        pause(worker.store, claim)
        yield Crashed("the trainer process died (signal SIGKILL)")

    worker.trainer = play(train)

    worker._train_claimed(claim)

    trial = worker.store.trial(claim.study_id, 0)
    assert (trial.state, trial.strikes, worker.n_paused) == (PAUSED, 0, 1)
    assert [attempt.end_reason for attempt in worker.store.attempts(trial.id)] == [EndReason.PAUSED]
    assert screen.getvalue().endswith("trial 0: paused at rung 1 of 2: val_loss 2.5000\n")


def test_a_pause_is_told_by_its_own_reading_when_the_trial_has_gone_on_since(
    worker: supervisor._Worker, claim: Claim
) -> None:
    store = worker.store
    pause(store, claim)
    promote(store, claim)
    again = store.claim_next(claim.study_id, other_worker(store), lease_s=60)
    assert again is not None
    pause(store, again, replace(READING, rung=1, val_loss=2.0))

    assert worker._stored_end(claim) == Paused(reading=READING)
    assert worker._stored_end(again) == Paused(reading=replace(READING, rung=1, val_loss=2.0))


def test_a_worker_that_lost_its_lease_before_the_pause_has_paused_nothing(
    worker: supervisor._Worker, claim: Claim, play: Callable
) -> None:
    store, other = worker.store, other_worker(worker.store)
    while (taken := store.claim_next(claim.study_id, other, lease_s=60)) is None:
        pass

    def train(order: ToTrainer) -> Iterable[FromTrainer]:
        try:
            pause(store, claim)
        except Exception as error:
            yield Lost(str(error))

    worker.trainer = play(train)

    worker._train_claimed(claim)

    assert (worker.n_paused, store.trial(claim.study_id, 0).state) == (0, TrialState.RUNNING)
    assert store.readings(taken.trial_id) == []


def test_a_trainer_that_comes_to_the_rung_after_its_lease_was_lost_says_so(
    store: Store, enqueue: Callable, start: Callable
) -> None:
    enqueue()
    study_id, trainer = store.study("tiny").id, start()
    claim = store.claim_next(study_id, other_worker(store), lease_s=0.01)
    assert claim is not None
    while (taken := store.claim_next(study_id, other_worker(store), lease_s=60)) is None:
        pass

    answer = trainer.answer(Train(claim=claim, folder="tiny-1/00000"))

    assert isinstance(answer, Lost)
    assert (store.trial(study_id, 0).state, store.readings(taken.trial_id)) == (TrialState.RUNNING, [])


def test_who_was_asked_for_some_trials_leaves_after_a_pause_too(worker: supervisor._Worker) -> None:
    worker.options = replace(worker.options, max_trials=2)
    worker.n_trials, worker.n_paused = 1, 1

    assert worker._enough()


def test_texts_name_the_rung_and_those_that_wait() -> None:
    claim: Any = type("Claim", (), {"ladder": Ladder(rungs=Rungs(), may_pass=1)})

    assert paused_text(claim, replace(READING, rung=1)) == "paused at rung 2 of 2: val_loss 2.5000"
    assert waiting_text({TrialState.RUNNING: 1, PAUSED: 3}).endswith("if their worker died; 3 wait at a rung")


# ---- the queue ---------------------------------------------------------------------------------------------------


@pytest.fixture
def all_proposed(worker: supervisor._Worker, claim: Claim) -> Claim:
    """Of the only trial, which waits at its first rung."""
    worker.store.set_n_trials("tiny", 1)
    pause(worker.store, claim)
    return claim


class Decider:
    """A trainer's answers to what the study wants; the last one is repeated."""

    def __init__(self, *answers: FromTrainer | Callable[[], FromTrainer]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, order: ToTrainer) -> Iterable[FromTrainer]:
        if isinstance(order, Stop):
            return
        assert isinstance(order, Propose)
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        yield answer() if callable(answer) else answer


def test_who_finds_all_trials_proposed_asks_which_goes_on(
    worker: supervisor._Worker, all_proposed: Claim, play: Callable
) -> None:
    def promoted() -> Proposed:
        promote(worker.store, all_proposed)
        return Proposed()

    worker.trainer = play(Decider(promoted))

    assert worker._find_work()

    again = worker.store.claim_next(all_proposed.study_id, worker.worker_id, lease_s=60)
    assert again is not None
    assert again.ladder == Ladder(rungs=RUNGS, may_pass=1)


def test_a_worker_leaves_when_nothing_goes_on_and_nothing_is_trained(
    worker: supervisor._Worker, all_proposed: Claim, play: Callable
) -> None:
    worker.trainer = play(Decider(NoneWanted(is_done=True)))

    assert not worker._find_work()


def test_a_worker_stays_as_long_as_a_trial_that_waits_may_go_on_and_asks_once(
    worker: supervisor._Worker, all_proposed: Claim, play: Callable
) -> None:
    """Another trial runs: what it comes to may let this one go on."""
    decider = Decider(NoneWanted(is_done=False))
    worker.trainer = play(decider)

    assert [worker._find_work() for _ in range(3)] == [True] * 3
    assert decider.asked == 1

    promote(worker.store, all_proposed)  # by another worker: all is otherwise than it was
    again = worker.store.claim_next(all_proposed.study_id, other_worker(worker.store), lease_s=60)
    assert again is not None
    pause(worker.store, again, replace(READING, rung=1))

    assert worker._find_work()
    assert decider.asked == 2


def test_a_study_with_fewer_trials_than_it_wants_is_waited_for_though_nothing_is_proposed(
    worker: supervisor._Worker, all_proposed: Claim, play: Callable
) -> None:
    """Its sampler is `given`, say."""
    worker.store.set_n_trials("tiny", 2)
    worker.stored = worker.store.study("tiny")
    worker.trainer = play(Decider(NoneWanted(is_done=True)))

    assert worker._find_work()


# ---- whole studies -----------------------------------------------------------------------------------------------


def serve_in_place(store: Store, trainer: Any, row_id: int, worker_id: int) -> list[FromTrainer]:
    """What the trainer answers to who claims, and asks where nothing is to be claimed, until all is done."""
    answers: list[FromTrainer] = []
    while answers[-1:] != [NoneWanted(is_done=True)]:
        claim = store.claim_next(row_id, worker_id, lease_s=60)
        order = Train(claim=claim, folder=f"tiny-{row_id}/{claim.number:05d}") if claim else Propose("tiny")
        answers.append(trainer.answer(order))
    return answers


def checkpoints_in(folder: Path) -> list[str]:
    return sorted(str(path.parent.name) for path in folder.glob("artifacts/*/*/checkpoint-*"))


def test_a_study_is_done_when_none_goes_on_and_goes_on_with_more_trials_from_what_it_has(
    store: Store, start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a real trainer. What waits leaves no checkpoint; who goes on without one comes to the same."""
    monkeypatch.setattr("growlab.training.sample.LENGTH", 8)
    trainer, worker_id, row = start(), other_worker(store), store.study("tiny")

    answers = serve_in_place(store, trainer, row.id, worker_id)

    trials, before = store.trials(row.id), store.all_readings(row.id)
    assert sorted(str(trial.state) for trial in trials) == ["completed", "paused", "paused"]
    assert [type(answer) for answer in answers].count(Paused) == 5  # of three two come to the second rung
    assert [type(answer) for answer in answers].count(Ended) == 1
    assert [len(store.promotions(trial.id)) for trial in trials if trial.state is TrialState.COMPLETED] == [2]
    assert store.paused_checkpoints(row.id) == {}
    assert checkpoints_in(tmp_path) == []

    [last] = [number for number, readings in before.items() if len(readings) == 1]
    store.set_n_trials("tiny", 4)
    store.promote(row.id, Promotion(trial=last, rung=0, finished=(), running=(), climbs=()))
    serve_in_place(store, trainer, row.id, worker_id)

    after = store.all_readings(row.id)
    assert (len(store.trials(row.id)), len(after[last])) == (4, 2)
    assert {number: after[number][: len(readings)] for number, readings in before.items()} == before


# ---- checkpoints of what waits -------------------------------------------------------------------------------------


@pytest.fixture
def waiting(store: Store, study: Study, enqueue: Callable, tmp_path: Path) -> int:
    """Three trials with files: 0 and 1 at the first rung, 2 at the second one; the id of their study."""
    from growlab.worker.packing import next_spec

    row, worker_id = store.study("tiny"), other_worker(store)
    spec = next_spec(store, row, [])
    assert spec is not None
    for number, losses in enumerate([[2.5], [2.4], [3.0, 2.9]]):
        enqueue(number)
        for rung, loss in enumerate(losses):
            claim = store.claim_next(row.id, worker_id, lease_s=60)
            assert claim is not None
            (tmp_path / checkpoint(claim).path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / checkpoint(claim).path).write_bytes(b"no checkpoint")
            pause(store, claim, replace(READING, rung=rung, val_loss=loss))
            if rung + 1 < len(losses):
                promote(store, claim)
    return row.id


def files_of(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("tiny-1/*/checkpoint-*"))


def test_as_many_checkpoints_are_kept_as_the_study_says(store: Store, waiting: int, tmp_path: Path) -> None:
    for n, kept in ((9, [0, 1, 2]), (0, [0, 1, 2]), (2, [1, 2]), (1, [2])):
        keep_best(store, waiting, replace(RUNGS, keep_paused=n), tmp_path)

        assert sorted(store.paused_checkpoints(waiting)) == kept
        assert files_of(tmp_path) == [f"{number:05d}" for number in kept]


def test_checkpoints_that_lie_elsewhere_are_anothers_to_forget(store: Store, waiting: int, tmp_path: Path) -> None:
    (tmp_path / "tiny-1" / "00001").rename(tmp_path / "elsewhere")

    forget_paused(store, waiting, tmp_path)

    assert sorted(store.paused_checkpoints(waiting)) == [1]
    assert files_of(tmp_path) == []


def test_a_checkpoint_of_a_trial_that_goes_on_is_not_forgotten(store: Store, waiting: int, tmp_path: Path) -> None:
    assert store.promote(waiting, Promotion(trial=1, rung=0, finished=(), running=(), climbs=()))

    forget_paused(store, waiting, tmp_path)

    assert files_of(tmp_path) == ["00001"]
    claim = store.claim_next(waiting, other_worker(store), lease_s=60)
    assert claim is not None
    assert claim.checkpoint == checkpoint(claim)
