"""Trials as a search, a leaderboard and the page of one trial read them."""

import math
from dataclasses import replace

import pytest

from growlab.errors import NotFound, UnknownName
from growlab.records import PEAK_MEMORY, EndReason, Metric, PastTrial, TrialState


def test_a_search_sees_every_trial_with_its_complete_layout_and_a_value_only_if_completed(lab, make_spec):
    lab.enqueue(0, 1, 2, 3)
    worker = lab.worker()
    lab.store.finish(lab.claim(worker), lab.result(), [], [])
    lab.store.finish(lab.claim(worker), lab.result(TrialState.DIVERGED, val_loss=9.0), [], [])
    lab.claim(worker)

    past = lab.store.past_trials(lab.study_id, "val_loss")

    states = [TrialState.COMPLETED, TrialState.DIVERGED, TrialState.RUNNING, TrialState.QUEUED]
    unknown = [
        PastTrial(number=number, state=state, layout=make_spec().layout, params={"train.lr": 1e-3})
        for number, state in enumerate(states)
    ]
    completed = replace(unknown[0], value=1.5, metrics={"val_loss": 1.5}, layout_end="d=8 (attn mlp)x2")
    assert past == [completed, *unknown[1:]]


def test_a_search_sees_the_memory_that_a_trial_took_at_its_end(lab):
    lab.enqueue(0, 1)
    worker, result = lab.worker(), lab.result()
    peaks = [
        Metric(step=step, split="train", name=PEAK_MEMORY, value=value)
        for step, value in ((1, 5.0), (result.steps, 7e9))
    ]
    lab.store.finish(lab.claim(worker), result, peaks, [])
    lab.claim(worker)

    assert [trial.peak_memory for trial in lab.store.past_trials(lab.study_id, "val_loss")] == [7e9, None]


@pytest.mark.parametrize(("objective", "value"), [("val_loss", 1.5), ("best_val_loss", 1.4), ("bits_per_byte", 2.2)])
def test_the_value_is_the_objective_that_is_asked_for(lab, objective, value):
    lab.enqueue(0)
    lab.store.finish(lab.claim(lab.worker()), lab.result(), [], [])

    assert [trial.value for trial in lab.store.past_trials(lab.study_id, objective)] == [value]


def test_a_search_sees_all_metrics_that_it_asks_for_but_what_a_layout_tells(lab):
    lab.enqueue(0, 1)
    worker = lab.worker()
    speeds = [Metric(step=step, split="train", name="tokens_per_s", value=step) for step in range(100)]
    end = [Metric(step=100, split="train", name=name, value=5.0) for name in ("decode_tokens_per_s", "params", "mine")]
    score = [Metric(step=step, split="val", name="accuracy", value=step / 100) for step in (50, 100)]
    lab.store.finish(lab.claim(worker), lab.result(), [*speeds, *end, *score], [])
    unknown = Metric(step=100, split="train", name="mine", value=math.nan)
    lab.store.finish(lab.claim(worker), lab.result(bits_per_byte=None), [unknown], [])
    asked = ["val_loss", "bits_per_byte", "train_tokens_per_s", "accuracy", "decode_tokens_per_s", "params", "mine"]

    past = lab.store.past_trials(lab.study_id, asked)

    expected = {"val_loss": 1.5, "bits_per_byte": 2.2, "train_tokens_per_s": 89.5, "accuracy": 1.0}
    assert [trial.metrics for trial in past] == [
        expected | {"decode_tokens_per_s": 5.0, "mine": 5.0},
        {"val_loss": 1.5},
    ]
    assert lab.store.recorded(lab.study_id, ["params"]) == {0: {"params": 5.0}}


def test_an_objective_that_is_no_column_is_refused(lab):
    with pytest.raises(UnknownName, match=r"unknown objective 'val_los'; known: .* Did you mean 'val_loss'"):
        lab.store.past_trials(lab.study_id, "val_los")


def test_a_running_trial_shows_the_newest_that_is_known(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    trained = Metric(step=130, split="train", name="loss", value=1.9)
    lab.store.commit(claim, [lab.val_loss(50, 3.0), lab.val_loss(100, 2.0), trained], lab.checkpoint(130))

    [trial] = lab.store.trials(lab.study_id)

    assert (trial.newest_step, trial.newest_val_loss, trial.val_loss, trial.steps) == (130, 2.0, None, None)


def test_a_final_trial_shows_its_result(lab):
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    lab.store.finish(claim, lab.result(), [lab.val_loss(90, 7.0)], [])

    [trial] = lab.store.trials(lab.study_id)

    assert (trial.newest_step, trial.newest_val_loss, trial.val_loss, trial.steps) == (100, 1.5, 1.5, 100)


def test_a_trial_holds_the_spec_that_runs_it_again(lab, make_spec):
    lab.enqueue(0)

    assert lab.store.trial(lab.study_id, 0).spec == make_spec()


def test_an_unknown_trial_is_answered_with_the_numbers_that_there_are(lab):
    with pytest.raises(NotFound, match="no trial 3: the study has none yet"):
        lab.store.trial(lab.study_id, 3)
    lab.enqueue(0, 1, 2)

    with pytest.raises(NotFound, match="no trial 3; the study has trials 0 to 2"):
        lab.store.trial(lab.study_id, 3)


def test_attempts_tell_who_tried_and_how_it_ended(lab):
    lab.enqueue(0)
    for name, reason in (("gpu0", EndReason.STOPPED), ("gpu1", EndReason.CRASHED)):
        lab.store.release(lab.claim(lab.worker(name)), reason, f"{reason} here")
    claim = lab.claim(lab.worker("gpu2"))

    attempts = lab.store.attempts(claim.trial_id)

    assert [(each.epoch, each.worker, each.end_reason, each.note) for each in attempts] == [
        (1, "gpu0", EndReason.STOPPED, "stopped here"),
        (2, "gpu1", EndReason.CRASHED, "crashed here"),
        (3, "gpu2", None, ""),
    ]
    assert {each.device for each in attempts} == {"cpu"}
    assert attempts[0].started_at <= attempts[0].ended_at <= attempts[1].started_at


def test_the_times_of_attempts_are_those_of_every_trial_of_the_study_and_no_other(lab):
    lab.enqueue(0, 1)
    lab.store.release(lab.claim(lab.worker()), EndReason.STOPPED)
    claims = [lab.claim(lab.worker()) for _ in range(2)]
    nightly, lab.study_id = lab.study_id, lab.add_study("weekly")
    lab.enqueue(0)
    lab.claim(lab.worker())

    attempts = [each for claim in claims for each in lab.store.attempts(claim.trial_id)]
    expected = sorted((each.id, (each.started_at, each.ended_at or each.heartbeat_at)) for each in attempts)
    assert len(expected) == 3
    for (_, times), got in zip(expected, lab.store.attempt_times(nightly), strict=True):
        assert got == pytest.approx(times, abs=0.1)  # who ends is heard in the same transaction
    assert len(lab.store.attempt_times(lab.study_id)) == 1


def test_the_decision_of_an_unknown_trial_is_not_found(lab):
    with pytest.raises(NotFound, match="no trial has the id 99"):
        lab.store.decision(99)


def test_parameters_must_be_json(lab):
    """NaN is none: PostgreSQL would refuse it, SQLite would hand it to whoever reads."""
    with pytest.raises(Exception, match="not JSON compliant"):
        lab.store.register_worker(name="gpu0", device="cpu", versions={"torch": math.nan})


def test_a_worker_signs_off(lab):
    worker = lab.worker()

    lab.store.end_worker(worker)

    [row] = lab.sql("SELECT name, host <> '' AS has_host, pid > 0 AS has_pid, ended_at >= started_at FROM gl_workers")
    assert tuple(row) == ("gpu0", True, True, True)
