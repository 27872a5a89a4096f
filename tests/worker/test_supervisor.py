"""What a worker makes of its trainer's answers, of its limits and of the queue: rows and a screen tell."""

import io
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

import pytest

from growlab.deciding import decided
from growlab.errors import DatabaseAway, GrowlabError, UsageError
from growlab.records import EndReason, TrialProgress, TrialResult, TrialState
from growlab.search import New
from growlab.storage import AttemptRow, Claim, Store, Tally, TrialRow
from growlab.study import Study
from growlab.worker import supervisor
from growlab.worker.display import LineDisplay
from growlab.worker.messages import (
    Began,
    Crashed,
    Crowded,
    Ended,
    FromTrainer,
    Lost,
    Progress,
    Propose,
    Proposed,
    Ready,
    Stop,
    Stopped,
    ToTrainer,
    Train,
    Unfit,
    Worn,
)
from growlab.worker.process import TrainerProcess
from growlab.worker.supervisor import Served, WorkerOptions, serve
from growlab.worker.trainer import summary

WaitUntil = Callable[[Callable[[], object]], None]
Play = Callable[..., TrainerProcess]
READY = Ready(device="cpu", versions={"torch": "2"})
COMPLETED, FAILED, QUEUED = TrialState.COMPLETED, TrialState.FAILED, TrialState.QUEUED
PROGRESS = TrialProgress(
    step=98,
    progress=0.5,
    depth=2,
    phase="train",
    train_loss=2.0,
    val_loss=None,
    tau=None,
    kappa=None,
    tokens_per_s=1e3,
    remaining_s=9.0,
)


def rows(store: Store) -> tuple[TrialRow, list[AttemptRow]]:
    """Trial 0 and its attempts."""
    trial = store.trial(store.study("tiny").id, 0)
    return trial, store.attempts(trial.id)


def workers() -> list[tuple[str, bool]]:
    """Their versions of torch, and whether they have ended."""
    with closing(sqlite3.connect("growlab.db")) as connection:
        torch_and_end = "json_extract(versions, '$.torch'), ended_at IS NOT NULL"
        return [(torch, bool(ended)) for torch, ended in connection.execute(f"SELECT {torch_and_end} FROM gl_workers")]


# ---- a trial, by its trainer's answer ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "strikes", "reason", "shown"),
    [
        (Stopped(), 0, EndReason.STOPPED, "stopped and saved; it is back in the queue"),
        (Stopped("no room"), 0, EndReason.STOPPED, "stopped and not saved: no room; it is back in the queue"),
        (Crowded("no memory\nCUDA says"), 1, EndReason.CRASHED, "put back: no memory"),
        (Crashed("KeyError: 'x'\nTraceback"), 1, EndReason.CRASHED, "crashed: KeyError: 'x'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_trial_that_did_not_end_is_queued_again_with_a_strike_unless_it_was_stopped(
    worker: supervisor._Worker,
    claim: Claim,
    play: Play,
    screen: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    answer: FromTrainer,
    strikes: int,
    reason: EndReason,
    shown: str,
) -> None:
    monkeypatch.setattr(supervisor, "CROWDED_PAUSE_S", 0.0)
    worker.trainer = play(lambda order: [answer])

    worker._train_claimed(claim)

    trial, (attempt,) = rows(worker.store)
    assert (trial.state, trial.strikes, attempt.end_reason) == (QUEUED, strikes, reason)
    assert answer == type(answer)(attempt.note)  # whole, and not its first line
    assert screen.getvalue().splitlines() == [f"trial 0: {claim.layout}", f"trial 0: {shown}"]
    assert worker.n_trials == 0


def test_a_trial_that_was_crowded_out_leaves_its_neighbours_time_to_end(
    worker: supervisor._Worker, claim: Claim, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CROWDED_PAUSE_S", 0.2)
    worker.trainer = play(lambda order: [Crowded("no memory")])
    began = time.monotonic()

    worker._train_claimed(claim)

    assert time.monotonic() - began >= 0.2


def test_a_trial_that_is_anothers_is_not_touched(
    worker: supervisor._Worker, claim: Claim, play: Play, screen: io.StringIO
) -> None:
    worker.trainer = play(lambda order: [Lost("worker gpu0 no longer owns trial 0")])

    worker._train_claimed(claim)

    trial, (attempt,) = rows(worker.store)
    assert (trial.state, attempt.end_reason) == (TrialState.RUNNING, None)
    assert screen.getvalue().endswith("trial 0: worker gpu0 no longer owns trial 0\n")


@pytest.mark.parametrize(("is_usage", "error"), [(True, UsageError), (False, GrowlabError)])
def test_a_worker_that_is_unfit_gives_the_trial_back_and_leaves_in_the_trainers_words(
    worker: supervisor._Worker, claim: Claim, play: Play, is_usage: bool, error: type[GrowlabError]
) -> None:
    worker.trainer = play(lambda order: [Unfit("corpus.txt has changed", is_usage=is_usage)])

    with pytest.raises(error, match=r"^corpus.txt has changed$") as raised:
        worker._train_or_release(claim)

    trial, (attempt,) = rows(worker.store)
    assert type(raised.value) is error
    assert (trial.state, trial.strikes) == (QUEUED, 0)
    assert (attempt.end_reason, attempt.note) == (EndReason.STOPPED, "corpus.txt has changed")


def test_whatever_goes_wrong_with_the_worker_the_trial_is_free_at_once(
    worker: supervisor._Worker, claim: Claim, play: Play
) -> None:
    worker.trainer = play(lambda order: [READY])  # no answer to a trial

    with pytest.raises(AssertionError, match="the trainer answered a trial with Ready"):
        worker._train_or_release(claim)

    trial, (attempt,) = rows(worker.store)
    assert (trial.state, trial.strikes) == (QUEUED, 0)
    assert (attempt.end_reason, attempt.note) == (EndReason.STOPPED, "the worker failed")


def test_how_far_a_trial_is_goes_with_the_next_beat_and_forgives_the_deaths_before_it(
    worker: supervisor._Worker,
    claim: Claim,
    play: Play,
    screen: io.StringIO,
    result: TrialResult,
    wait_until: WaitUntil,
) -> None:
    worker.deaths, worker.fruitless = 9, ["died"] * 9

    def train(order: ToTrainer) -> Iterable[FromTrainer]:
        yield Began(step=40, note="")
        wait_until(lambda: rows(worker.store)[1][0].step == 40)
        assert worker.deaths == 9  # until something has been trained
        yield Progress(PROGRESS)
        wait_until(lambda: rows(worker.store)[1][0].step == 98)
        assert worker.deaths == 0
        yield Ended(state=COMPLETED, summary="val_loss 1.5000")

    worker.trainer = play(train)

    worker._train_claimed(claim)

    assert worker.n_trials == 1
    assert screen.getvalue().splitlines()[1:] == [
        "trial 0: resumed from step 40",
        "trial 0: completed: val_loss 1.5000",
    ]


def test_who_is_asked_to_stop_asks_the_trainer_once_and_waits_for_its_answer(
    worker: supervisor._Worker, claim: Claim, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "POLL_S", 0.01)
    monkeypatch.setattr(supervisor, "STOP_GRACE_S", 60.0)

    def train(order: ToTrainer) -> Iterable[FromTrainer]:
        if isinstance(order, Train):
            worker.ask_to_stop()
        else:
            time.sleep(0.1)  # it saves, for some looks at the pipe
            yield Stopped()

    worker.trainer = trainer = play(train)

    worker._train_claimed(claim)

    assert [type(order) for order in trainer.orders] == [Train, Stop]
    assert worker.trainer is trainer  # alive


def test_a_trainer_is_ended_when_the_database_has_been_away_for_too_long(
    impatient_sqlite: None, worker: supervisor._Worker, claim: Claim, play: Play
) -> None:
    worker.options = replace(worker.options, patience_s=0.0)
    worker.trainer = play()

    with closing(sqlite3.connect("growlab.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseAway, match="database is locked"):
            worker._ask(Train(claim=claim, folder=""), claim)

    assert worker.trainer is None


# ---- trainers that start -----------------------------------------------------------------------------------------


def nothing(order: ToTrainer) -> Iterable[FromTrainer]:
    return ()


@pytest.mark.parametrize(("is_usage", "error"), [(True, UsageError), (False, GrowlabError)])
def test_a_trainer_that_cannot_work_here_ends_the_worker(
    worker: supervisor._Worker, setups: Callable, is_usage: bool, error: type[GrowlabError]
) -> None:
    setups(nothing, [Unfit("no device 'cuda:9'\n", is_usage=is_usage)])

    with pytest.raises(error, match=r"^no device 'cuda:9'$") as raised:
        worker._start_trainer()

    assert type(raised.value) is error
    assert worker.trainer is None


def test_who_is_stopped_while_a_trainer_starts_does_not_wait_for_it(
    worker: supervisor._Worker, setups: Callable
) -> None:
    setups(nothing, [])
    worker.ask_to_stop()

    assert not worker._start_trainer()

    assert worker.trainer is None
    assert worker.deaths == 0


def test_trainers_that_die_one_after_another_are_started_ever_later(
    worker: supervisor._Worker, setups: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESTART_PAUSE_S", 1.0)
    pauses: list[float] = []
    monkeypatch.setattr(worker, "_pause", pauses.append)
    setups(nothing, [Crashed("died")])

    for _ in range(supervisor.MOST_DEATHS):
        worker._start_trainer()

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_worker_has_a_row_for_each_state_of_the_code_that_its_trainers_run(worker: supervisor._Worker) -> None:
    for torch in ("2.10", "2.10", "2.11"):
        worker._register(Ready(device="cpu", versions={"torch": torch}))

    assert workers() == [(None, True), ("2.10", True), ("2.11", False)]


# ---- the queue ---------------------------------------------------------------------------------------------------


def tally_of(worker: supervisor._Worker) -> Tally:
    return worker.store.tally(worker.stored.id)


def test_nothing_is_proposed_beyond_what_the_study_wants_and_more_is_when_more_is_wanted(
    worker: supervisor._Worker, enqueue: Callable[[], None], play: Play
) -> None:
    enqueue()
    worker.trainer = trainer = play()

    assert not worker._propose(tally_of(worker))
    worker.store.set_n_trials("tiny", 3)
    assert worker._propose(tally_of(worker))

    assert worker.stored.study.n_trials == 3
    assert trainer.orders == []


def test_a_worker_waits_while_others_train_and_leaves_when_all_is_done(
    worker: supervisor._Worker, claim: Claim, screen: io.StringIO, result: TrialResult
) -> None:
    assert worker._wait_for_others(tally_of(worker))
    worker.store.finish(claim, result, [], [])
    assert not worker._wait_for_others(tally_of(worker))

    assert screen.getvalue().startswith("waiting: 1 trial(s) are running elsewhere")


def test_a_worker_of_a_study_that_is_over_waits_for_what_is_under_way_and_leaves_the_queue(
    worker: supervisor._Worker, claim: Claim, enqueue: Callable[[], None], screen: io.StringIO, result: TrialResult
) -> None:
    worker.store.change_study("tiny", {"n_trials": 3, "stop_when": {"val_loss": 1e9}})
    before = worker.store.why_over(worker.stored.id)

    assert (before, worker._wait_for_others(tally_of(worker))) == ("", True)
    worker.store.finish(claim, result, [], [])
    enqueue()
    assert worker.store.claim_next(worker.stored.id, worker.worker_id, lease_s=5) is None
    assert not worker._propose(tally_of(worker))
    assert not worker._wait_for_others(tally_of(worker))

    assert "the study is over: stop_when.val_loss 1e+09 is reached" in screen.getvalue()


# ---- the whole loop ----------------------------------------------------------------------------------------------


def serve_with(display: LineDisplay, **options: object) -> Served:
    given = {"storage_url": "sqlite:///growlab.db", "artifacts": None, "lease_s": 5.0} | options
    return serve("tiny", WorkerOptions(**given), display)


@pytest.fixture
def good_trainer(store: Store, result: TrialResult) -> Callable[[ToTrainer], Iterable[FromTrainer]]:
    """Proposes, and knows the result of every trial."""

    def answer(order: ToTrainer) -> Iterable[FromTrainer]:
        if isinstance(order, Propose):
            row = store.study(order.study)
            match decided(row.study, store.past_trials(row.id, row.study.objective.metric), vocab_size=40):
                case New(proposal):
                    store.enqueue(row.id, proposal)
            yield Proposed()
        elif isinstance(order, Train):
            store.finish(order.claim, result, [], [])
            yield Ended(state=result.state, summary=summary(result))

    return answer


def test_a_study_is_served_from_its_first_proposal_to_the_end_of_its_last_trial(
    store: Store, study: Study, setups: Callable, good_trainer: Callable, screen: io.StringIO
) -> None:
    store.set_n_trials("tiny", 2)
    started = setups(good_trainer, [READY])

    served = serve_with(LineDisplay(screen), n_threads=3, patience_s=7.0)

    assert served == Served(n_trials=2, stopped=False)
    assert store.counts(store.study("tiny").id)[COMPLETED] == 2
    assert workers() == [("2", True)]
    (setup,) = started
    assert (setup.storage_url, setup.n_threads, setup.patience_s) == ("sqlite:///growlab.db", 3, 7.0)


def test_a_trainer_that_is_worn_is_replaced_before_the_next_order_and_nothing_is_a_strike(
    store: Store, study: Study, setups: Callable, good_trainer: Callable, screen: io.StringIO
) -> None:
    def wears_out(order: ToTrainer) -> Iterable[FromTrainer]:
        is_first = isinstance(order, Train) and order.claim.number == 0
        yield from [Worn("a recording was broken off")] if is_first else []
        yield from good_trainer(order)

    store.set_n_trials("tiny", 2)
    started = setups(wears_out, [READY])

    served = serve_with(LineDisplay(screen))

    assert served == Served(n_trials=2, stopped=False)
    assert len(started) == 2
    assert "another trainer takes over: a recording was broken off\n" in screen.getvalue()
    trial, (attempt,) = rows(store)
    assert (trial.strikes, attempt.end_reason) == (0, EndReason.FINISHED)


def test_a_worker_leaves_after_the_trials_that_it_was_asked_for(
    store: Store, study: Study, setups: Callable, good_trainer: Callable, screen: io.StringIO
) -> None:
    store.set_n_trials("tiny", 3)
    setups(good_trainer, [READY])

    assert serve_with(LineDisplay(screen), max_trials=2) == Served(n_trials=2, stopped=False)

    assert sum(store.counts(store.study("tiny").id).values()) == 2


@pytest.mark.parametrize(
    ("limit", "stopped"), [({"max_time_s": 0.0}, False), ({"parent": os.getppid() + 1}, True)], ids=["time", "parent"]
)
def test_a_worker_whose_time_is_over_or_whose_parent_is_gone_begins_nothing(
    store: Store,
    study: Study,
    setups: Callable,
    good_trainer: Callable,
    screen: io.StringIO,
    limit: dict[str, object],
    stopped: bool,
) -> None:
    started = setups(good_trainer, [READY])

    assert serve_with(LineDisplay(screen), **limit) == Served(n_trials=0, stopped=stopped)

    assert started == []
