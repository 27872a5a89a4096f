"""Commit points: checkpoint and facts at once or neither; numbers that SQL cannot hold come back as they were."""

import math
from dataclasses import replace

import pytest

from growlab.errors import LeaseLost
from growlab.records import Artifact, EndReason, Metric, TrialState


@pytest.fixture
def claim(lab):
    lab.enqueue(0)
    return lab.claim(lab.worker())


def facts_of(lab, claim):
    store, trial_id = lab.store, claim.trial_id
    return store.metrics(trial_id), store.trajectory(trial_id, None), store.growth_events(trial_id)


def test_what_is_committed_is_read_back(lab, claim, point, event):
    tensor = replace(point, tensor="mlp.up.weight")
    lab.store.commit(claim, [lab.val_loss(100), point, event, tensor], lab.checkpoint(200))

    assert facts_of(lab, claim) == ([lab.val_loss(100)], [point, tensor], [event])
    assert lab.store.trajectory(claim.trial_id) == [point]
    assert lab.store.trajectory(claim.trial_id, "mlp.up.weight") == [tensor]
    assert lab.store.artifacts(claim.trial_id) == [lab.checkpoint(200)]


def test_metrics_are_read_by_split_and_name_and_in_the_order_of_steps(lab, claim):
    written = [
        Metric(step=step, split=split, name=name, value=float(step))
        for step in (20, 10)
        for split in ("val", "train")
        for name in ("loss", "bits_per_byte")
    ]
    lab.store.commit(claim, written, lab.checkpoint(20))

    assert len(lab.store.metrics(claim.trial_id)) == 8
    assert len(lab.store.metrics(claim.trial_id, "val")) == 4
    assert len(lab.store.metrics(claim.trial_id, name="loss")) == 4
    assert [metric.step for metric in lab.store.metrics(claim.trial_id, "val", "loss")] == [10, 20]


def test_a_repeated_commit_changes_nothing(lab, claim, point, event):
    batch = [lab.val_loss(100), point, event]
    lab.store.commit(claim, batch, lab.checkpoint(200))
    once = facts_of(lab, claim)

    lab.store.commit(claim, batch, lab.checkpoint(200))

    assert facts_of(lab, claim) == once
    assert lab.count("gl_artifacts") == 1


def test_a_resumed_attempt_rewrites_the_facts_of_the_one_before(lab, claim):
    lab.store.commit(claim, [lab.val_loss(10, 3.0), lab.val_loss(20, 2.5)], lab.checkpoint(20))
    lab.store.release(claim, EndReason.CRASHED)
    again = lab.claim(lab.worker("gpu1"))

    lab.store.commit(again, [lab.val_loss(20, 2.4), lab.val_loss(30, 2.2)], lab.checkpoint(30))

    values = [(metric.step, metric.value) for metric in lab.store.metrics(claim.trial_id)]
    assert values == [(10, 3.0), (20, 2.4), (30, 2.2)]
    assert lab.sql("SELECT step, epoch FROM gl_metrics ORDER BY step") == [(10, 1), (20, 2), (30, 2)]


def test_of_two_facts_with_one_key_the_later_one_stays(lab, claim):
    lab.store.commit(claim, [lab.val_loss(10, 3.0), lab.val_loss(10, 2.0)], lab.checkpoint(10))

    assert lab.store.metrics(claim.trial_id) == [lab.val_loss(10, 2.0)]


def test_a_trial_keeps_only_its_newest_checkpoint(lab, claim):
    lab.store.commit(claim, [], lab.checkpoint(10))
    lab.store.commit(claim, [], lab.checkpoint(20))

    assert lab.store.artifacts(claim.trial_id) == [lab.checkpoint(20)]


def test_a_commit_with_a_fact_that_cannot_be_written_writes_nothing(lab, claim, point):
    lab.store.commit(claim, [lab.val_loss(10)], lab.checkpoint(10))

    with pytest.raises(Exception, match=r"(?i)not.null"):
        lab.store.commit(claim, [lab.val_loss(20), replace(point, step=None)], lab.checkpoint(20))

    assert lab.store.metrics(claim.trial_id) == [lab.val_loss(10)]
    assert lab.store.artifacts(claim.trial_id) == [lab.checkpoint(10)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_keeps_its_kind_and_has_no_value_in_sql(lab, claim, value):
    lab.store.commit(claim, [lab.val_loss(10, value)], lab.checkpoint(10))

    assert lab.sql("SELECT value, state FROM gl_metrics") == [(None, str(value))]
    [metric] = lab.store.metrics(claim.trial_id)
    assert metric.value == pytest.approx(value, nan_ok=True)


def test_a_path_that_is_closed_and_one_that_never_left_come_back_as_they_were(lab, claim, point):
    still = replace(point, step=1, tau=None, kappa=None, diffusion_exponent=None, drift_to_noise=None, drift_z=None)
    closed = replace(point, step=2, tau=math.inf, kappa=math.inf, diffusion_exponent=-math.inf, displacement=0.0)
    lab.store.commit(claim, [still, closed, replace(point, step=3)], lab.checkpoint(10))

    assert lab.sql("SELECT tau, kappa, state FROM gl_trajectory ORDER BY step") == [
        (None, None, "still"),
        (None, None, "closed"),
        (3.7, 3.6, "ok"),
    ]
    assert lab.store.trajectory(claim.trial_id) == [still, closed, replace(point, step=3)]


def test_a_growth_event_of_a_run_that_diverges_is_kept(lab, claim, event):
    grown = replace(event, tau=math.inf, kappa=None, val_loss_after=math.inf, val_loss_before=-math.inf)

    lab.store.commit(claim, [grown], lab.checkpoint(10))

    assert lab.store.growth_events(claim.trial_id) == [grown]
    [stored] = lab.sql("SELECT tau, kappa, val_loss_before, val_loss_after, not_finite FROM gl_growth_events")
    assert stored == (None, None, None, None, "tau=inf val_loss_before=-inf val_loss_after=inf")


def test_finish_writes_the_result_and_ends_the_attempt(lab, claim):
    lab.store.commit(claim, [lab.val_loss(50)], lab.checkpoint(50))
    model = Artifact(kind="model", step=100, path="trial/model.safetensors", sha256="cd" * 32, n_bytes=1)

    lab.store.finish(claim, lab.result(), [lab.val_loss(100, 1.5)], [model])

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.val_loss, trial.best_val_loss, trial.bits_per_byte) == ("completed", 1.5, 1.4, 2.2)
    assert (trial.layout_end, trial.depth_end, trial.n_params) == ("d=8 (attn mlp)x2", 4, 1_000)
    assert (trial.flops, trial.tokens, trial.steps, trial.elapsed_s) == (2**70, 2**40, 100, 12.5)
    assert (trial.sample, trial.error, trial.lease_left_s) == ("To be", "", None)
    assert trial.ended_at >= trial.started_at >= trial.created_at
    assert [metric.step for metric in lab.store.metrics(claim.trial_id)] == [50, 100]
    assert lab.store.artifacts(claim.trial_id) == [model]
    assert lab.store.attempts(claim.trial_id)[0].end_reason is EndReason.FINISHED


def test_the_result_of_a_diverged_run_has_no_loss(lab, claim):
    result = lab.result(TrialState.DIVERGED, val_loss=math.nan, best_val_loss=1.9, bits_per_byte=math.inf)

    lab.store.finish(claim, result, [lab.val_loss(100, math.nan)], [])

    trial = lab.store.trial(lab.study_id, 0)
    assert (trial.state, trial.val_loss, trial.best_val_loss, trial.bits_per_byte) == ("diverged", None, 1.9, None)


def test_a_sample_may_hold_what_sql_cannot(lab, claim):
    lab.store.finish(claim, lab.result(sample="a\x00b\ud800c τ"), [], [])

    assert lab.store.trial(lab.study_id, 0).sample == "a␀b?c τ"


def test_starting_over_forgets_the_checkpoint_and_its_facts_and_says_why(lab, claim, point, event):
    lab.store.commit(claim, [lab.val_loss(10), point, event], lab.checkpoint(10))

    lab.store.start_over(claim, "step-10: sha256 differs")
    lab.store.release(claim, EndReason.STOPPED)

    assert facts_of(lab, claim) == ([], [], [])
    assert lab.store.attempts(claim.trial_id)[0].note == "step-10: sha256 differs"
    assert lab.claim(lab.worker("gpu1")).checkpoint is None


def test_a_takeover_between_two_commits_keeps_the_first_and_drops_the_second(lab, claim):
    lab.store.commit(claim, [lab.val_loss(10, 3.0)], lab.checkpoint(10))
    lab.expire(claim)
    taken = lab.claim(lab.worker("gpu1"))

    with pytest.raises(LeaseLost):
        lab.store.commit(claim, [lab.val_loss(20, 2.0)], lab.checkpoint(20))
    lab.store.commit(taken, [lab.val_loss(20, 2.5)], lab.checkpoint(20))

    values = [(metric.step, metric.value) for metric in lab.store.metrics(claim.trial_id)]
    assert values == [(10, 3.0), (20, 2.5)]
