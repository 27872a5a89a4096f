"""The leaderboard that is redrawn while a study runs."""

import io

import pytest
from rich.console import Console

from growlab.records import TrialState
from growlab.report.live import live_table, progress_in_words
from growlab.report.pace import Pace

COUNTS = {TrialState.COMPLETED: 5, TrialState.RUNNING: 2, TrialState.QUEUED: 0}


def drawn(table, width=100):
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


@pytest.fixture
def trials(trial_of, open_trial_of):
    completed = [trial_of(number, val_loss=3.0 - number / 10) for number in range(5)]
    running = [open_trial_of(5, newest_step=1200, newest_val_loss=1.2345), open_trial_of(6, newest_step=None)]
    return [*completed, *running]


def test_it_shows_the_best_trials_and_all_that_run(trials):
    text = drawn(live_table("nightly", trials, COUNTS, 20, n_best=2))

    assert "nightly: 5 of 20 trials done, 2 running, 13 waiting" in text
    assert [line.split()[0] for line in text.splitlines()[3:7]] == ["4", "3", "5", "6"]
    assert "1.2345" in text
    assert "running, step 1200" in text
    assert "and 3 more completed" in text


def test_progress_tells_what_fell_and_how_long_the_rest_takes():
    counts = {TrialState.COMPLETED: 4, TrialState.DIVERGED: 1, TrialState.RUNNING: 2, TrialState.QUEUED: 1}

    assert progress_in_words(counts, 20, Pace(trials_per_hour=30.0, at_once=2.0)) == (
        "5 of 20 trials done (1 diverged), 2 running, 13 waiting · "
        "30 trials/hour (2 at once, 15 per worker), about 30 min 00 s left"
    )
    assert progress_in_words({TrialState.COMPLETED: 3}, 3, Pace(trials_per_hour=30.0, at_once=1.0)) == (
        "3 of 3 trials done, 0 running, 0 waiting · 30 trials/hour"
    )


def test_a_trial_whose_worker_fell_silent_is_seen(open_trial_of):
    table = live_table("nightly", [open_trial_of(0, lease_left_s=-5.0)], {}, 20)

    assert "running, not heard" in drawn(table)


def test_it_fits_eighty_columns_without_losing_a_letter(trials, trial_of):
    long = trial_of(7, val_loss=0.5, layout="d=96 (attn[heads_per_kv=2,n_heads=8] conv[kernel=8] mlp)x3", depth_end=12)

    text = drawn(live_table("nightly", [*trials, long], COUNTS, 20), width=80)

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "running, step 1200" in text


def test_markup_in_names_is_not_interpreted(trial_of):
    text = drawn(live_table("[red]night[/red]", [trial_of(0, layout="d=8 [b]mlp[/b]")], {}, 1))

    assert "[red]night[/red]" in text
    assert "d=8 [b]mlp[/b]" in text
