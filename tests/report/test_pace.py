"""Trials per hour of work, from hand-made intervals of attempts, in seconds."""

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from growlab.records import TrialState, n_ended
from growlab.report.live import live_table
from growlab.report.pace import Pace, pace_of, read_pace, union
from growlab.report.title import read_title, title_of

HOUR = 3600.0
intervals = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda each: (each[0], sum(each))))


def test_one_worker_without_a_break_has_the_pace_of_its_trials():
    assert pace_of([(0, 1800), (1800, HOUR)], 2) == Pace(trials_per_hour=2.0, at_once=1.0)


def test_a_night_in_which_nobody_worked_is_not_counted():
    by_day = pace_of([(0, HOUR), (10 * HOUR, 11 * HOUR)], 6)

    assert by_day == Pace(trials_per_hour=3.0, at_once=1.0)


def test_attempts_at_once_share_the_hour():
    four_at_once = pace_of([(0, HOUR)] * 4, 32)

    assert four_at_once == Pace(trials_per_hour=32.0, at_once=4.0)
    assert four_at_once.per_worker == 8.0


def test_attempts_that_overlap_in_part_are_a_mean_of_workers():
    pace = pace_of([(0, HOUR), (HOUR / 2, 3 * HOUR / 2)], 3)

    assert pace.trials_per_hour == 2.0
    assert pace.at_once == pytest.approx(4 / 3)


def test_an_attempt_inside_another_adds_no_time():
    assert pace_of([(0, HOUR), (600, 1200)], 1).trials_per_hour == 1.0


def test_the_time_of_an_attempt_that_came_to_nothing_counts_too():
    crashed, again = (0, HOUR), (HOUR, 2 * HOUR)

    assert pace_of([crashed, again], 1).trials_per_hour == 0.5


@pytest.mark.parametrize(
    ("attempts", "n_ended"),
    [([(0, HOUR)], 0), ([], 0), ([], 1), ([(5, 5)], 1), ([(6, 5)], 1)],
    ids=["none ended", "nothing ran", "ended without an attempt", "no time passed", "the clock was set back"],
)
def test_a_pace_that_is_not_known_is_none(attempts, n_ended):
    assert pace_of(attempts, n_ended) is None


@given(intervals)
def test_a_union_covers_the_same_seconds_once(given_intervals):
    def seconds(each):
        return set(range(*each))

    merged = union(given_intervals)

    assert set().union(*map(seconds, merged)) == set().union(*map(seconds, given_intervals))
    assert all(first[1] < second[0] for first, second in pairwise(merged))


@pytest.mark.parametrize(
    ("pace", "words"),
    [
        (Pace(trials_per_hour=31.04, at_once=1.0), "31 trials/hour"),
        (Pace(trials_per_hour=31.04, at_once=1.004), "31 trials/hour"),
        (Pace(trials_per_hour=0.5, at_once=1.5), "0.5 trials/hour (1.5 at once, 0.333 per worker)"),
        (Pace(trials_per_hour=31.04, at_once=4.0), "31 trials/hour (4 at once, 7.76 per worker)"),
        (Pace(trials_per_hour=1234.0, at_once=15.7), "1.23k trials/hour (15.7 at once, 78.6 per worker)"),
    ],
)
def test_in_words_it_tells_how_many_worked_only_where_several_did(pace, words):
    assert pace.in_words() == words


def test_the_title_ends_with_the_pace():
    counts = {TrialState.COMPLETED: 4, TrialState.RUNNING: 1}

    title = title_of("nightly", counts, 10, "val_loss", Pace(trials_per_hour=31.0, at_once=1.0))

    assert title == (
        "nightly: 4 of 10 trials ended (1 running, 4 completed), by val_loss, lower is better · 31 trials/hour"
    )


def test_every_end_counts_and_no_open_trial_does():
    assert n_ended(dict.fromkeys(TrialState, 1)) == 5  # completed, diverged, stopped, leak, failed


def test_the_title_of_a_stored_study_has_a_pace_once_a_trial_has_ended(store, study_row, run_trial, result_of):
    run_trial(0)
    before = read_title(store, study_row)
    for number in range(1, 6):
        run_trial(number, result=result_of())

    assert "trials/hour" not in before
    assert "nightly: 5 of 10 trials ended (1 running, 5 completed)" in read_title(store, study_row)
    assert "trials/hour" in read_title(store, study_row)
    assert read_pace(store, study_row.id, store.counts(study_row.id)).trials_per_hour > 0


def test_the_live_table_has_it_in_its_title(trial_of):
    table = live_table("nightly", [trial_of(0)], {}, 1, pace=Pace(trials_per_hour=31.0, at_once=4.0))
    stream = io.StringIO()
    Console(file=stream, width=80).print(table)

    assert "31 trials/hour (4 at once, 7.75 per worker)" in " ".join(stream.getvalue().split())
