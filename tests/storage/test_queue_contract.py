"""What every queue of trials does (growlab.queue), be it in a database or in memory: what a search is told of it.

Who may write, and what is claimed when, is test_lease_protocol's.
"""

import pytest

from growlab.records import EarlyStop, EndReason, Metric, TrialState


def flops(step, value):
    return Metric(step=step, split="train", name="flops", value=value)


def test_numbers_are_given_once_and_end_below_n_trials_and_claims_go_by_number(queueing):
    assert queueing.enqueue(4, 9, 2, 10, 4) == [True, True, True, False, False]

    worker = queueing.worker()
    assert [trial.number for trial in queueing.past()] == [2, 4, 9]
    assert [queueing.claim(worker).number for _ in range(3)] == [2, 4, 9]
    assert queueing.claim(worker) is None


def test_a_search_is_told_what_a_completed_trial_came_to_and_of_all_others_that_they_are_there(queueing):
    queueing.enqueue(0, 1, 2, 3)
    worker = queueing.worker()
    for state in (TrialState.COMPLETED, TrialState.DIVERGED):
        queueing.store.finish(queueing.claim(worker), queueing.result(state), [], [])
    queueing.claim(worker)

    past = queueing.past()

    assert [trial.state.value for trial in past] == ["completed", "diverged", "running", "queued"]
    assert [trial.value for trial in past] == [1.5, None, None, None]
    assert [dict(trial.metrics) for trial in past] == [{"val_loss": 1.5}, {}, {}, {}]
    assert [trial.layout_end for trial in past] == ["d=8 (attn mlp)x2", "", "", ""]
    assert {(trial.layout, *trial.params.items()) for trial in past} == {
        ("d=8 attn[heads=2] mlp[expand=2.0]", ("train.lr", 1e-3))
    }
    counts = queueing.store.counts(queueing.study_id)
    assert {state.value: n for state, n in counts.items() if n} == {trial.state.value: 1 for trial in past}


def test_a_search_is_told_of_the_readings_that_a_trials_state_stands_for(queueing, make_reading, make_promotion):
    queueing.enqueue(0, 1)
    worker, store = queueing.worker(), queueing.store
    first, second = queueing.claim(worker), queueing.claim(worker)
    store.commit(second, [make_reading()], queueing.checkpoint(10))
    store.pause(first, [make_reading()], queueing.checkpoint(10))
    waits = [(len(trial.readings), trial.may_pass, trial.is_paused) for trial in queueing.past()]

    promoted = [store.promote(queueing.study_id, make_promotion(0, rung)) for rung in (1, 0, 0)]
    again = queueing.claim(worker)
    goes_on = queueing.past()[0]
    store.pause(again, [make_reading(1)], queueing.checkpoint(20))
    store.finish(second, queueing.result(), [], [])

    assert waits == [(1, 0, True), (0, 0, False)]
    assert promoted == [False, True, False]
    assert (again.number, again.checkpoint) == (0, queueing.checkpoint(10))
    assert (len(goes_on.readings), goes_on.may_pass, goes_on.is_paused) == (1, 1, False)
    assert [trial.readings for trial in queueing.past()] == [(make_reading(), make_reading(1)), (make_reading(),)]


def test_what_was_spent_is_that_of_checkpoints_results_and_readings(queueing, make_reading):
    queueing.enqueue(0, 1, 2)
    worker, store = queueing.worker(), queueing.store
    nothing = store.spent(queueing.study_id)
    ended, stopped, paused = (queueing.claim(worker) for _ in range(3))
    for claim, amount in ((ended, 100.0), (stopped, 20.0)):
        store.commit(claim, [flops(5, amount)], queueing.checkpoint(5))
    store.finish(ended, queueing.result(flops=1000), [], [])
    store.release(stopped, EndReason.STOPPED)
    store.pause(paused, [flops(7, 3.0), make_reading(flops=5, extra_flops=4)], queueing.checkpoint(7))

    spent = store.spent(queueing.study_id)

    assert (nothing.flops, nothing.hours, nothing.best) == (0, 0, {})
    assert spent.flops == 1000 + 20 + 5 + 4  # it was read behind its last row
    assert spent.best == pytest.approx({"val_loss": 1.5, "best_val_loss": 1.4, "bits_per_byte": 2.2})


def test_what_a_trial_came_to_at_a_mark_is_known_while_it_runs_and_once_a_rule_has_stopped_it(queueing, make_reading):
    queueing.enqueue(0, 1)
    store, claim = queueing.store, queueing.claim(queueing.worker())
    first, second = make_reading(), make_reading(1, val_loss=1.5)
    seen = {"step": 20, "flops": second.flops, "val_loss": 1.5, "rung": 1, "seen": (1,)}
    stop = EarlyStop(rule="median", share=0.5, bound=1.0, **seen)
    store.commit(claim, [first], queueing.checkpoint(10))
    running = store.readings_at(queueing.study_id, 0), store.readings_at(queueing.study_id, 1)
    store.finish(claim, queueing.result(TrialState.STOPPED, val_loss=1.5), [second, stop], [])

    assert running == ({0: first}, {})
    assert store.readings_at(queueing.study_id, 1) == {0: second}
    trial = queueing.past()[0]
    assert (trial.state, trial.value, trial.stopped_by) == (TrialState.STOPPED, 1.5, "median")
    assert trial.readings == (first, second)
