"""What pretended workers do to trials, by hand: when each is trained, what a death costs, who waits."""

from dataclasses import replace
from itertools import pairwise

import pytest

from growlab.errors import UsageError
from growlab.records import TrialState
from growlab.simulate.worker import Doing


def times(simulation):
    return [(trial.began_s, trial.ended_s) for trial in simulation.trials]


def ends(simulation):
    return [(trial.number, trial.state, trial.value) for trial in simulation.trials]


def test_two_workers_share_three_trials(run, make_study, make_training):
    trainings = [make_training(10, 3.0), make_training(4, 2.0), make_training(5, 2.5)]

    found = run(make_study(3), trainings, 2)

    assert times(found) == [(0, 10), (0, 4), (4, 9)]
    assert [trial.decided_s for trial in found.trials] == [0, 0, 4]
    assert (found.ended_s, found.flops) == (10, 19)
    assert found.worker_s == {Doing.TRAINING: 19, Doing.IDLE: 1, Doing.AWAY: 0}
    assert [(best.at_s, best.flops, best.best, best.trial) for best in found.improvements] == [(4, 4, 2.0, 1)]
    assert [(mark.at_s, mark.n_over, mark.best) for mark in found.marks[:6:5]] == [(10 / 12, 0, None), (5, 1, 2.0)]


def test_what_fails_spends_what_it_spent_and_has_no_value(run, make_study, make_training):
    found = run(make_study(2), [make_training(10), make_training(3, None)])

    assert times(found) == [(0, 10), (10, 13)]
    assert ends(found) == [(0, TrialState.COMPLETED, 2.0), (1, TrialState.DIVERGED, None)]


def test_a_training_takes_as_long_as_its_table_says_where_no_pace_is_given(run, make_study, make_training):
    found = run(make_study(2), [make_training(10, elapsed_s=7.0), make_training(0, None)], flops_per_s=0.0)

    assert times(found) == [(0, 7), (7, 7)]


def test_rungs_pause_trials_and_the_best_goes_on_as_decide_says(run, make_study, make_training):
    """Marks at 100 and 300 of 900 FLOPs; of three trials one goes on, twice, as nothing else is left to do."""
    study = make_study(3, rungs={"first": 1 / 9})

    found = run(study, [make_training(val_loss=loss) for loss in (3.0, 2.0, 2.5)])

    assert times(found) == [(0, 100), (100, 1100), (200, 300)]
    assert [trial.promoted_s for trial in found.trials] == [[], [300, 500], []]
    assert ends(found) == [(0, TrialState.PAUSED, None), (1, TrialState.COMPLETED, 2.0), (2, TrialState.PAUSED, None)]
    assert (found.flops, found.n_promotions, found.lost_flops) == (1100, 2, 0)
    assert [trial.n_attempts for trial in found.trials] == [1, 3, 1]


def test_a_reading_from_a_branch_costs_a_tenth_of_what_was_spent_before_it(run, make_study, make_training):
    found = run(make_study(1, rungs={"first": 1 / 3, "reading": "branch"}), [make_training()])

    assert (found.ended_s, found.flops, found.trials[0].flops) == (930, 930, 900)


def test_a_paused_trial_whose_checkpoint_was_not_kept_begins_again(run, make_study, make_training):
    """Of nine trials three go on: 1, whose checkpoint was kept, and then 2 and 0, whose checkpoints gave way to it."""
    trainings = [make_training(val_loss=loss) for loss in (3.0, 2.0, 2.5, *[9.0] * 6)]
    studies = [make_study(9, rungs={"first": 1 / 3, "keep_paused": most}) for most in (0, 1)]

    kept, forgotten = (run(study, trainings) for study in studies)

    assert (kept.ended_s, kept.lost_flops) == (9 * 300 + 3 * 600, 0)
    assert (forgotten.ended_s, forgotten.lost_flops) == (kept.ended_s + 600, 600)
    assert (forgotten.flops, ends(forgotten)) == (kept.flops, ends(kept))


# ---- what happens to workers ---------------------------------------------------------------------------------------


def test_a_death_costs_what_was_trained_since_the_last_checkpoint_and_the_lease(run, make_study, make_training, fate):
    """At 70 s a checkpoint of 60 s is there; the lease ends at 90, and 40 s are left."""
    fate(dies=[70])

    found = run(make_study(1), [make_training(100)], lease_s=20, checkpoint_every_s=30, away_s=5)

    assert times(found) == [(0, 130)]
    assert (found.n_deaths, found.lost_flops, found.flops, found.trials[0].n_attempts) == (1, 10, 100, 2)
    assert found.worker_s == {Doing.TRAINING: 110, Doing.IDLE: 15, Doing.AWAY: 5}


def test_another_worker_goes_on_with_the_trial_of_one_that_died_as_soon_as_its_lease_has_run_out(
    run, make_study, make_training, fate
):
    fate(dies=[70])

    found = run(
        make_study(2), [make_training(100), make_training(30)], 2, lease_s=20, checkpoint_every_s=30, away_s=1e6
    )

    assert times(found) == [(0, 130), (0, 30)]


def test_who_is_asked_to_stop_saves_its_trial_and_it_is_free_at_once(run, make_study, make_training, fate):
    fate(preempted=[70])

    found = run(make_study(1), [make_training(100)], lease_s=20, checkpoint_every_s=30, away_s=5)

    assert times(found) == [(0, 105)]
    assert (found.n_preemptions, found.lost_flops) == (1, 0)


def test_a_death_at_a_reading_loses_no_reading(run, make_study, make_training, fate):
    """At 260 s, 160 s after its second attempt began at the first rung, of which 150 are saved."""
    fate(dies=[260])
    study = make_study(1, rungs={"first": 1 / 9})

    found = run(study, [make_training()], lease_s=20, checkpoint_every_s=30, away_s=5)

    assert found.trials[0].state is TrialState.COMPLETED
    assert (found.ended_s, found.flops) == (900 + 10 + 20, 900)


def test_a_trial_with_which_ten_workers_die_is_given_up(run, make_study, make_training, fate):
    fate(dies=[50.0] * 40)

    found = run(make_study(2), [make_training(100)], lease_s=20, checkpoint_every_s=1e6)

    assert [trial.state for trial in found.trials] == [TrialState.FAILED] * 2
    assert [trial.n_attempts for trial in found.trials] == [11, 11]  # ten that came no further than the first one


@pytest.fixture
def trainings(make_training):
    return [make_training(50 + 7 * at, 2 + (at * 7 % 10) / 10 if at % 6 else None) for at in range(40)]


def test_deaths_preemptions_and_stragglers_lose_no_trial_and_change_no_result(run, make_study, trainings):
    study = make_study(40)
    plain = run(study, trainings, 5)

    disturbed = run(
        study,
        trainings,
        5,
        stragglers=0.5,
        dies_every_s=150,
        preempted_every_s=150,
        away_s=10,
        lease_s=20,
        checkpoint_every_s=10,
    )

    assert ends(disturbed) == ends(plain)
    assert disturbed.n_deaths > 5 < disturbed.n_preemptions
    assert disturbed.flops == plain.flops
    assert disturbed.lost_flops > 0 == plain.lost_flops


def test_a_straggler_only_delays(run, make_study, trainings):
    slow = run(make_study(40), trainings, 1, stragglers=0.5)
    plain = run(make_study(40), trainings, 1)

    factor = slow.ended_s / plain.ended_s
    assert factor != pytest.approx(1)
    assert [trial.ended_s for trial in slow.trials] == pytest.approx([trial.ended_s * factor for trial in plain.trials])


def test_the_same_seed_gives_the_same_simulation_and_another_one_another(run, make_study, trainings):
    study = make_study(20, rungs={"first": 1 / 9}, sampler="evolution")
    trainings = [replace(training, flops=900, budget_flops=900) for training in trainings]
    disturbed = {"stragglers": 0.5, "dies_every_s": 700, "away_s": 10, "lease_s": 20}

    first, again, other = (run(study, trainings, 3, **disturbed, seed=seed) for seed in (1, 1, 2))

    assert first == again
    assert first.ended_s != other.ended_s


def test_time_never_goes_back_and_nobody_is_in_two_places(run, make_study, trainings):
    found = run(make_study(40), trainings, 3, stragglers=0.3, dies_every_s=200, away_s=10)

    decided = [trial.decided_s for trial in found.trials]
    assert decided == sorted(decided)
    assert all(one.at_s <= other.at_s for one, other in pairwise(found.marks))
    assert sum(found.worker_s.values()) == pytest.approx(3 * found.ended_s)


def test_a_study_is_over_when_it_has_spent_its_budget_and_what_has_begun_ends(run, make_study, make_training):
    """Trials of 100 FLOPs on two workers: 150 are spent at 75 s, by the checkpoints of both."""
    study = make_study(9, budget={"flops": 900, "study": {"flops": 150}})

    found = run(study, [make_training(100)], 2, checkpoint_every_s=10)

    assert [trial.state for trial in found.trials] == [TrialState.COMPLETED] * 2
    assert (found.ended_s, found.flops) == (100, 200)


# ---- stop rules ----------------------------------------------------------------------------------------------------


STOP = {"median": {"first": 1 / 9, "factor": 3, "min_trials": 2}}


def test_a_trial_that_is_worse_than_others_at_its_mark_ends_there_and_pays_for_no_more(run, make_study, make_training):
    found = run(make_study(4, stop=STOP), [make_training(val_loss=loss) for loss in (2.0, 2.2, 2.4, 2.1)])

    first, second, third, fourth = found.trials
    assert [str(trial.state) for trial in found.trials] == ["completed", "completed", "stopped", "completed"]
    assert (third.flops, third.value, third.ended_s) == (100, pytest.approx(2.4 + 8 / 9), 1900)
    assert found.flops == 2800
    assert (first.n_attempts, second.n_attempts, fourth.n_attempts) == (1, 1, 1)


def test_a_worker_that_dies_behind_a_mark_is_followed_from_there_and_the_trial_is_not_asked_again(
    run, make_study, make_training, fate
):
    """Saved at the mark, as others are compared with it: at 100 FLOPs, though a checkpoint is due at 300 only."""
    fate(dies=[150.0])

    found = run(make_study(1, stop=STOP), [make_training()], away_s=1.0, lease_s=10.0, checkpoint_every_s=300.0)

    assert (found.flops, found.lost_flops) == (900, 50)


def test_rules_of_a_trials_own_evaluations_are_not_simulated(run, make_study, make_training):
    for rule in ("patience", "divergence"):
        with pytest.raises(UsageError, match="a table knows too little; leave them out"):
            run(make_study(1, stop={rule: True}), [make_training()])
