"""A study is over once a limit is reached: nothing more is begun, what is under way finishes."""

from dataclasses import replace

import pytest

from growlab.records import Metric, Spent, TrialState
from growlab.study import Limits


@pytest.fixture
def limit(lab):
    """Gives the study limits, as its column has them."""

    def set_to(**changes):
        budget = {"steps": 100, "study": changes.pop("study", {})}
        lab.store.change_study("nightly", {"budget": budget, **changes})

    return set_to


def aged(lab, claim, hours):
    """As if the claim's attempt had begun so many hours ago, and was heard until now."""
    lab.sql("UPDATE gl_attempts SET started_at = started_at - :by WHERE id = :id", by=hours * 3600, id=claim.attempt_id)


def test_what_was_spent_is_summed_over_finished_and_running_trials(lab):
    first, second = lab.worker("a"), lab.worker("b")
    lab.enqueue(0, 1, 2)
    done, runs = lab.claim(first), lab.claim(second)
    lab.store.finish(done, lab.result(flops=1000, val_loss=1.5, best_val_loss=1.4), [], [])
    for step, flops in ((50, 200.0), (100, 400.0)):
        lab.store.commit(runs, [Metric(step=step, split="train", name="flops", value=flops)], lab.checkpoint(step))
    aged(lab, done, 3)
    aged(lab, runs, 2)

    spent = lab.store.spent(lab.study_id)

    assert spent.flops == 1400
    assert spent.gpu_hours == pytest.approx(5, abs=0.01)
    assert spent.hours == pytest.approx(3, abs=0.01)
    assert spent.best == {"val_loss": 1.5, "best_val_loss": 1.4, "bits_per_byte": 2.2}


def test_a_study_of_which_nothing_ran_has_spent_nothing(lab):
    lab.enqueue(0)

    assert lab.store.spent(lab.study_id) == Spent()


def test_two_workers_overshoot_a_budget_by_no_more_than_the_trials_they_hold(lab, limit):
    limit(study={"flops": 2500})
    workers = [lab.worker("a"), lab.worker("b")]
    lab.enqueue(*range(8))
    held = {worker: lab.claim(worker) for worker in workers}
    begun = 2
    for turn in range(8):  # each ends its trial and asks for another, in turn
        worker = workers[turn % 2]
        if claim := held[worker]:
            lab.store.finish(claim, lab.result(flops=1000), [], [])
        held[worker] = lab.claim(worker)
        begun += held[worker] is not None

    assert begun == 4  # the budget was spent by the third; a fourth was under way
    assert lab.store.spent(lab.study_id).flops == 4000
    assert lab.store.counts(lab.study_id)[TrialState.QUEUED] == 4
    assert lab.store.why_over(lab.study_id) == "budget.study.flops 2500 is spent (4000)"
    assert lab.store.n_under_way(lab.study_id) == 0


def test_a_trial_that_has_begun_is_taken_again_after_the_study_is_over(lab, limit):
    worker = lab.worker()
    lab.enqueue(0, 1)
    claim = lab.claim(worker)
    aged(lab, claim, 9)
    limit(study={"hours": 8})
    lab.store.release(claim, "stopped")

    again, none = lab.claim(worker), lab.claim(worker)

    assert (again.number, none) == (0, None)
    assert lab.store.n_under_way(lab.study_id) == 1


@pytest.mark.parametrize(("unit", "words"), [("hours", "8 is spent"), ("gpu_hours", "8 is spent (9)")])
def test_hours_are_spent(lab, limit, unit, words):
    limit(study={unit: 8})
    lab.enqueue(0)
    claim = lab.claim(lab.worker())
    before = lab.store.why_over(lab.study_id)

    aged(lab, claim, 9)

    assert (before, lab.store.why_over(lab.study_id)) == ("", f"budget.study.{unit} {words}")


def test_a_target_is_reached_by_a_completed_trial_alone(lab, limit):
    limit(stop_when={"val_loss": 1.45})
    worker = lab.worker()
    lab.enqueue(*range(4))
    ends = [(TrialState.COMPLETED, 1.5), (TrialState.LEAK, 0.1), (TrialState.COMPLETED, 1.45)]
    reasons = []
    for state, value in ends:
        lab.store.finish(lab.claim(worker), lab.result(state, val_loss=value), [], [])
        reasons.append(lab.store.why_over(lab.study_id))

    assert reasons == ["", "", "stop_when.val_loss 1.45 is reached (1.4500)"]
    assert lab.claim(worker) is None
    assert lab.state(3) is TrialState.QUEUED
    [summary] = lab.store.studies()
    assert summary.over == reasons[-1]


def test_a_larger_budget_goes_on_and_is_a_revision(lab, limit):
    limit(study={"flops": 500})
    worker = lab.worker()
    lab.enqueue(0, 1)
    lab.store.finish(lab.claim(worker), lab.result(flops=1000), [], [])
    over = lab.claim(worker)

    limit(study={"flops": 5000})

    assert over is None
    assert lab.claim(worker).number == 1
    budgets = [study.limits.budget for study in lab.store.revisions(lab.study_id)]
    assert budgets == [{}, {"flops": 500.0}, {"flops": 5000.0}]


def test_a_study_with_all_its_trials_is_not_called_over(lab, limit):
    limit(study={"flops": 1}, n_trials=1)
    lab.enqueue(0)
    lab.store.finish(lab.claim(lab.worker()), lab.result(), [], [])

    [summary] = lab.store.studies()
    assert summary.over == ""


def test_limits_are_stored_and_read_back(lab, make_study):
    limits = Limits(budget={"hours": 8.0, "flops": 1e18}, stop_when={"bits_per_byte": 0.9})

    lab.store.create_study(replace(make_study("limited"), limits=limits))

    assert lab.store.study("limited").study.limits == limits
    assert lab.store.study("nightly").study.limits == Limits()
