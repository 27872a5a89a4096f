"""What a trainer answers to its orders: they come through a real pipe, and the trial is trained, in this process."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from growlab.errors import ArtifactsError
from growlab.named import Named
from growlab.records import EndReason, TrialResult, TrialState
from growlab.storage import Claim, Store
from growlab.study import Study
from growlab.training.device import DeviceMemory
from growlab.worker import trainer as trainer_module
from growlab.worker.messages import (
    Began,
    Crashed,
    Crowded,
    Ended,
    FromTrainer,
    Lost,
    NoneWanted,
    Progress,
    Propose,
    Proposed,
    Ready,
    Stop,
    Stopped,
    Train,
    TrainerSetup,
    Unfit,
    Worn,
)
from growlab.worker.packing import next_spec
from growlab.worker.trainer import CRASHED, LEAVING_S, ORPHANED, require_writable, run_trainer, summary

WaitUntil = Callable[[Callable[[], object]], None]


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of the usual length takes longer than the training before it."""
    monkeypatch.setattr("growlab.training.sample.LENGTH", 8)


@pytest.fixture
def claim_of(store: Store, study: Study, enqueue: Callable[..., None]) -> Callable[..., Claim]:
    """Trial 0, begun by a worker; `changes` are of its spec, as the trainer gets it."""

    def claim(**changes: object) -> Claim:
        enqueue()
        worker_id = store.register_worker(name="gpu0", device="cpu", versions={})
        claim = store.claim_next(store.study(study.name).id, worker_id, lease_s=0.05)
        assert claim is not None
        return replace(claim, spec=replace(claim.spec, **changes))

    return claim


def heard(pipe: tuple[Connection, Connection]) -> list[FromTrainer]:
    ours, _ = pipe
    messages = []
    while ours.poll():
        messages.append(ours.recv())
    return messages


def state_of(store: Store, claim: Claim) -> tuple[TrialState, str]:
    trial = store.trial(claim.study_id, claim.number)
    return trial.state, trial.error


# ---- its start ---------------------------------------------------------------------------------------------------


def test_a_trainer_is_ready_once_it_knows_its_device_and_says_what_it_runs(
    pipe: tuple[Connection, Connection], store: Store, start: Callable
) -> None:
    start()

    (ready,) = heard(pipe)
    assert isinstance(ready, Ready)
    assert ready.device == "cpu"
    assert ready.versions["torch"] == torch.__version__
    assert ready.versions["threads"] == str(torch.get_num_threads())
    assert {type(version) for version in ready.versions.values()} == {str}  # a class of torch's would load torch there
    assert "deterministic" not in ready.versions


def test_an_artifact_folder_that_takes_no_files_is_refused_before_anything_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ArtifactsError, match=r"cannot write into the artifact folder .*file/below: Not a directory"):
        require_writable(tmp_path / "file" / "below")


def test_the_artifact_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")

    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.usefixtures("process_as_it_was")
def test_what_a_user_got_wrong_is_said_and_ends_the_process_in_order(
    pipe: tuple[Connection, Connection], setup: TrainerSetup, exits: list[int]
) -> None:
    run_trainer(replace(setup, device="abacus"), pipe[1])

    (unfit,) = heard(pipe)
    assert isinstance(unfit, Unfit)
    assert unfit.is_usage
    assert "abacus" in unfit.reason
    assert exits == []


@pytest.mark.usefixtures("process_as_it_was")
def test_what_nobody_foresaw_is_told_with_its_place_and_ends_the_process_without_teardown(
    pipe: tuple[Connection, Connection], setup: TrainerSetup, store: Store, exits: list[int]
) -> None:
    pipe[0].send(Train(claim=None, folder=""))

    with pytest.raises(SystemExit):
        run_trainer(setup, pipe[1])

    _, crashed = heard(pipe)
    assert isinstance(crashed, Crashed)
    assert crashed.reason.startswith("AttributeError: 'NoneType' object has no attribute 'spec'\nTraceback")
    assert exits == [CRASHED]


# ---- its orders --------------------------------------------------------------------------------------------------


def test_a_trainer_ends_with_its_supervisor(
    pipe: tuple[Connection, Connection], exits: list[int], wait_until: WaitUntil
) -> None:
    ours, theirs = pipe
    orders = trainer_module._Orders(theirs)

    ours.close()

    wait_until(lambda: exits)
    assert exits == [ORPHANED]
    assert not orders.stop_asked.is_set()


def test_a_stop_is_heard_ahead_of_the_orders_before_it_and_is_none_itself(
    pipe: tuple[Connection, Connection], study: Study
) -> None:
    ours, theirs = pipe
    first, second = Propose(study.name), Propose("another")
    orders = trainer_module._Orders(theirs)

    for order in (first, Stop(), second):
        ours.send(order)

    assert orders.stop_asked.wait(60)
    waiting = iter(orders)
    assert (next(waiting), next(waiting)) == (first, second)


def test_who_is_asked_to_stop_waits_some_seconds_more_for_a_database(
    pipe: tuple[Connection, Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pipe
    orders = trainer_module._Orders(theirs)
    unasked = orders.goes_on("away")
    ours.send(Stop())
    assert orders.stop_asked.wait(60)
    asked = orders.goes_on("away")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + LEAVING_S)

    assert (unasked, asked, orders.goes_on("away")) == (True, True, False)


def test_a_proposal_is_the_one_that_the_study_would_make_anywhere(store: Store, study: Study, start: Callable) -> None:
    row = store.study(study.name)
    expected = next_spec(store, row, [])

    answer = start().answer(Propose(study.name))

    assert answer == Proposed()
    assert [(trial.number, trial.spec) for trial in store.trials(row.id)] == [(0, expected)]


def test_a_device_that_others_fill_keeps_nobody_from_proposing(
    store: Store, study: Study, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.engine.choose_execution", fails_with(NO_ROOM))

    assert start().answer(Propose(study.name)) == Proposed()


def test_a_study_that_has_all_its_trials_gets_no_other(store: Store, study: Study, start: Callable) -> None:
    trainer, row = start(), store.study(study.name)

    answers = [trainer.answer(Propose(study.name)) for _ in range(study.n_trials + 2)]

    assert answers == [*[Proposed()] * study.n_trials, *[NoneWanted(is_done=False)] * 2]
    assert len(store.trials(row.id)) == study.n_trials


def test_a_trial_is_trained_to_the_end_of_its_budget_and_is_in_the_database_before_its_end_is_said(
    pipe: tuple[Connection, Connection], store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    trainer, claim = start(), claim_of()

    answer = trainer.answer(Train(claim=claim, folder="tiny-1/00000"))

    trial = store.trial(claim.study_id, 0)
    _, began, *progress = heard(pipe)
    assert answer == Ended(state=TrialState.COMPLETED, summary=summary(trial))
    assert trial.val_loss is not None
    assert began == Began(step=0, note="")
    assert {type(message) for message in progress} <= {Progress}
    assert (trainer.setup.artifacts / "tiny-1" / "00000").is_dir()


def test_what_a_study_asks_of_a_trial_is_measured_at_its_end(
    store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    claim = replace(claim_of(), asked=(Named(name="flops_per_token"),))

    start().answer(Train(claim=claim, folder="0"))

    assert store.recorded(claim.study_id, ["flops_per_token"])[0]["flops_per_token"] > 0


def test_a_trial_that_is_stopped_is_put_down_and_stays_its_workers(
    pipe: tuple[Connection, Connection], store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    trainer, claim = start(), claim_of()
    pipe[0].send(Stop())
    assert trainer.orders.stop_asked.wait(60)

    assert trainer.answer(Train(claim=claim, folder="0")) == Stopped()

    assert state_of(store, claim) == (TrialState.RUNNING, "")  # its supervisor releases it


def test_a_trial_that_another_worker_took_is_lost_and_nothing_of_it_is_written(
    store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    claim = claim_of()
    store.release(claim, EndReason.STOPPED)

    answer = start().answer(Train(claim=claim, folder="0"))

    assert isinstance(answer, Lost)
    assert "worker gpu0 no longer owns trial 0" in answer.reason
    assert state_of(store, claim) == (TrialState.QUEUED, "")


def test_a_text_that_is_not_there_is_the_workers_fault_and_not_the_trials(
    store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    claim = claim_of()
    Path("corpus.txt").unlink()

    answer = start().answer(Train(claim=claim, folder="0"))

    assert isinstance(answer, Unfit)
    assert "corpus.txt" in answer.reason
    assert state_of(store, claim)[0] is TrialState.RUNNING


def test_a_layout_that_cannot_be_built_here_is_the_trials_result(
    store: Store, start: Callable, claim_of: Callable[..., Claim]
) -> None:
    claim = claim_of(layout="d=16 attn[n_heads=3] mlp")

    answer = start().answer(Train(claim=claim, folder="0"))

    state, error = state_of(store, claim)
    assert state is TrialState.FAILED
    assert "n_heads" in error
    assert answer == Ended(state=TrialState.FAILED, summary=error)


def fails_with(error: BaseException) -> Callable[..., None]:
    def run_trial(*_: object, **__: object) -> None:
        raise error

    return run_trial


NO_ROOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore of it")


def test_a_trial_that_does_not_fit_fails_in_the_first_line_of_what_torch_said(
    store: Store, start: Callable, claim_of: Callable[..., Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.trial.run_trial", fails_with(NO_ROOM))
    claim = claim_of()

    answer = start().answer(Train(claim=claim, folder="0"))

    failed = "out of memory: CUDA out of memory. Tried to allocate 2 GiB"
    assert state_of(store, claim) == (TrialState.FAILED, failed)
    assert answer == Ended(state=TrialState.FAILED, summary=failed)


def test_a_trial_that_does_not_fit_says_how_much_memory_there_was(
    store: Store, start: Callable, claim_of: Callable[..., Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = DeviceMemory(total=80 << 30, free=0, reserved=79 << 30, peak=79 << 30)
    monkeypatch.setattr("growlab.training.trial.run_trial", fails_with(NO_ROOM))
    monkeypatch.setattr("growlab.training.device.device_memory", lambda device: there)

    start().answer(Train(claim=(claim := claim_of()), folder="0"))

    [trial] = store.past_trials(claim.study_id, "val_loss")
    assert (trial.state, trial.value, trial.peak_memory) == (TrialState.FAILED, None, (80 << 30) - (512 << 20))


def test_a_trial_that_does_not_fit_beside_others_is_given_back_with_both_reasons(
    store: Store, start: Callable, claim_of: Callable[..., Claim], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.training.trial.run_trial", fails_with(NO_ROOM))
    monkeypatch.setattr(trainer_module, "crowded_out", lambda memory: "others hold it")
    claim = claim_of()

    answer = start().answer(Train(claim=claim, folder="0"))

    assert answer == Crowded(f"others hold it\n{NO_ROOM}")
    assert state_of(store, claim) == (TrialState.RUNNING, "")


@pytest.mark.parametrize("broken", [True, False])
def test_a_trainer_in_which_a_recording_was_broken_off_says_that_it_is_worn(
    pipe: tuple[Connection, Connection], store: Store, start: Callable, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    monkeypatch.setattr("growlab.training.recording._broke_off", broken)
    trainer = start()
    trainer.settled = True

    trainer.tidy()

    assert [type(message) for message in heard(pipe)] == [Ready, *([Worn] if broken else [])]


@pytest.mark.parametrize("stopping", [False, True])
def test_a_database_that_stays_away_ends_a_trainer_or_what_it_trains_when_it_is_to_stop(
    impatient_sqlite: None,
    pipe: tuple[Connection, Connection],
    store: Store,
    start: Callable,
    claim_of: Callable[..., Claim],
    stopping: bool,
) -> None:
    trainer, claim = start(), claim_of()
    if stopping:
        pipe[0].send(Stop())
        assert trainer.orders.stop_asked.wait(60)

    with closing(sqlite3.connect("growlab.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = trainer.answer(Train(claim=claim, folder="0"))

    assert isinstance(answer, Stopped if stopping else Unfit)
    assert "database is locked" in (answer.note if isinstance(answer, Stopped) else answer.reason)


# ---- how a trial ended, in a line ----------------------------------------------------------------------------------


def test_the_line_of_a_trial_has_what_is_known_of_it(result: TrialResult) -> None:
    assert summary(result) == "val_loss 1.5000, 2.2000 bits per byte, d=16 conv mlp"
    assert summary(replace(result, bits_per_byte=float("nan"))) == "val_loss 1.5000, d=16 conv mlp"
    assert summary(replace(result, state=TrialState.DIVERGED, error="loss is nan")) == "loss is nan"
