"""Trials that wait at rungs, on the leaderboard, while a study runs, and on their pages."""

import io
import json

import pytest

from growlab.records import Climb, Prediction, Promotion, RungReading, TrialState
from growlab.report.formats import render
from growlab.report.leaderboard import leaderboard, read_leaderboard
from growlab.report.live import live_table, progress_in_words, state_text
from growlab.report.pace import Pace
from growlab.report.title import title_of
from growlab.report.trial_facts import trial_as_mapping
from growlab.report.trial_page import trial_page

PAUSED = TrialState.PAUSED
THEN = "promoted, expected 1.6921"


@pytest.fixture
def paused_trial_of(open_trial_of):
    """A trial that waits at a rung of thirds, of a budget of 900."""

    def make(number, val_loss, rung=0, **changes):
        at_rung = {"may_pass": rung, "paused_mark": 100.0 * 3**rung, "paused_val_loss": val_loss}
        return open_trial_of(number, state=PAUSED, **at_rung | {"paused_budget": 900} | changes)

    return make


@pytest.fixture
def trials(trial_of, open_trial_of, paused_trial_of):
    waiting = [paused_trial_of(0, 1.9), paused_trial_of(1, 1.8312, rung=1), paused_trial_of(2, 1.7)]
    return [*waiting, trial_of(3, val_loss=2.0), open_trial_of(4), open_trial_of(5, state=TrialState.QUEUED)]


def reading(rung=0, **changes):
    values = {"step": 10, "mark": 100, "flops": 103, "val_loss": 1.8312, "bits_per_byte": 2.64, "slope": -0.5}
    return RungReading(rung=rung, **{**values, **changes})


def rendered(rows, format, width=None):
    stream = io.StringIO()
    render(rows, format, stream)
    return stream.getvalue()


def test_those_that_wait_come_after_those_that_completed_the_highest_rung_first_and_then_by_loss(trials):
    rows = leaderboard(trials)

    assert [(row.rank, row.trial) for row in rows] == [(1, 3), (None, 1), (None, 2), (None, 0), (None, 4), (None, 5)]


def test_what_a_trial_came_to_is_shown_with_the_share_of_the_budget(trials):
    text = rendered(leaderboard(trials), "table")

    assert "1.8312 at 1/3" in text
    assert "1.7000 at 1/9" in text
    assert text.count("paused") == 3


def test_programs_get_rung_and_share_where_a_trial_waits(trials, trial_of):
    with_rungs = json.loads(rendered(leaderboard(trials), "json"))
    without = json.loads(rendered(leaderboard([trial_of(0)]), "json"))

    assert [(row["rung"], row["val_loss"]) for row in with_rungs[:3]] == [(None, 2.0), (2, 1.8312), (1, 1.7)]
    assert with_rungs[1]["rung_share"] == pytest.approx(1 / 3)
    assert not {"rung", "rung_share"} & set(without[0])


def test_a_row_whose_budget_is_damaged_is_shown_without_its_share(paused_trial_of):
    [row] = leaderboard([paused_trial_of(0, 1.9, paused_budget=None)])

    assert (row.val_loss, row.rung, row.rung_share) == (1.9, 1, None)


def test_while_a_study_runs_the_best_that_wait_are_seen(trials, terminal):
    from rich.console import Console

    stream = io.StringIO()
    counts = {PAUSED: 3, TrialState.COMPLETED: 1, TrialState.RUNNING: 1, TrialState.QUEUED: 1}
    Console(file=stream, width=80).print(live_table("nightly", trials, counts, 9, n_best=2))
    text = stream.getvalue()

    assert "1 of 9 trials done, 1 running, 4 waiting, 3 paused" in text
    assert "1.8312 at 1/3" in text
    assert "paused at rung 2" in text
    assert "and 2 more paused" in text
    assert max(map(len, text.splitlines())) <= 80


def test_of_a_study_with_trials_that_wait_nobody_knows_how_long_it_takes():
    counts = {TrialState.COMPLETED: 12, PAUSED: 15}

    words = progress_in_words(counts, 27, Pace(trials_per_hour=30.0, at_once=1.0))

    assert words == "12 of 27 trials done, 0 running, 0 waiting, 15 paused · 30 trials/hour"
    assert title_of("nightly", counts, 27) == "nightly: 12 of 27 trials ended (15 paused, 12 completed)"


def test_the_state_names_the_rung(paused_trial_of):
    assert state_text(paused_trial_of(0, 1.9, rung=1)) == "paused at rung 2"


# ---- one trial -----------------------------------------------------------------------------------------------------


@pytest.fixture
def promoted(store, study_row, run_trial):
    """Trial 0, which was promoted from its first rung; what it comes to at the second one cost something."""
    run_trial(0, facts=[reading(mark=33, flops=35)], pauses=True)
    promotion = Promotion(
        trial=0,
        rung=0,
        finished=(1, 2),
        running=(0,),
        climbs=(Climb(trial=0, n_readings=1, may_pass=0),),
        predicted=Prediction(mean=1.6921, sd=0.05, runs=1.0),
    )
    assert store.promote(study_row.id, promotion)
    claim = store.claim_next(study_row.id, store.register_worker(name="b", device="cpu", versions={}), lease_s=60)
    second = reading(1, step=20, mark=50, flops=51, val_loss=1.75, extra_flops=5_000)
    [checkpoint] = store.artifacts(claim.trial_id)
    store.pause(claim, [second], checkpoint)
    return promotion


def test_the_page_tells_each_rung_and_what_became_of_the_trial_there(store, study_row, promoted):
    stream = io.StringIO()
    trial_page(store, study_row, 0, stream)
    text = stream.getvalue()

    assert text.startswith("trial 0 of nightly: paused at rung 2\n")
    header, first, second = text[text.index("\nrungs\n") :].splitlines()[2:5]
    assert header.split() == ["rung", "at", "step", "compute", "val_loss", "bits/byte", "cost", "then"]
    assert first.split() == ["1", "33/100", "10", "35", "FLOPs", "1.8312", "2.6400", "0", "FLOPs", *THEN.split()]
    assert second.split()[-3:] == ["5.00", "kFLOPs", "waits"]


def test_the_page_fits_a_terminal_of_eighty_columns(store, study_row, promoted, terminal):
    stream = terminal(80)

    trial_page(store, study_row, 0, stream)

    assert max(map(len, stream.lines)) <= 80


def test_as_a_mapping_a_trial_has_its_readings_and_promotions(store, study_row, promoted):
    whole = trial_as_mapping(store, study_row, 0)

    assert [(each["rung"], each["val_loss"]) for each in whole["readings"]] == [(0, 1.8312), (1, 1.75)]
    assert whole["promotions"][0]["predicted"] == {"mean": 1.6921, "sd": 0.05, "runs": 1.0}
    assert whole["promotions"][0]["climbs"] == [{"trial": 0, "n_readings": 1, "may_pass": 0}]


def test_a_stored_trial_that_waits_is_on_the_leaderboard_as_it_was_read(store, study_row, promoted):
    [row] = read_leaderboard(store, study_row.id)

    assert (row.state, row.rung, row.val_loss, row.rung_share) == (PAUSED, 2, 1.75, 0.5)
