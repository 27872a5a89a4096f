"""Which trial is first, which has a rank, and what can be sorted by."""

import math

import pytest

from growlab.errors import UnknownName
from growlab.records import TrialState
from growlab.report.columns import SORTABLE
from growlab.report.leaderboard import leaderboard


def numbers(rows):
    return [row.trial for row in rows]


def test_completed_trials_are_ranked_by_their_loss(trial_of):
    rows = leaderboard([trial_of(0, val_loss=2.0), trial_of(1, val_loss=1.5), trial_of(2, val_loss=1.7)])

    assert [(row.rank, row.trial) for row in rows] == [(1, 1), (2, 2), (3, 0)]


def test_of_equal_losses_the_earlier_trial_comes_first(trial_of):
    rows = leaderboard([trial_of(2, val_loss=1.5), trial_of(1, val_loss=1.5), trial_of(0, val_loss=1.6)])

    assert [(row.rank, row.trial) for row in rows] == [(1, 1), (2, 2), (3, 0)]


@pytest.mark.parametrize("loss", [None, math.nan, math.inf])
def test_a_completed_trial_without_a_loss_comes_last_of_them_and_has_no_rank(trial_of, open_trial_of, loss):
    rows = leaderboard([trial_of(0, val_loss=loss), open_trial_of(1), trial_of(2)])

    assert [(row.rank, row.trial) for row in rows] == [(1, 2), (None, 0), (None, 1)]
    assert rows[1].val_loss is None


def test_running_trials_show_their_newest_loss_below_all_ranks(trial_of, open_trial_of):
    rows = leaderboard([open_trial_of(0, newest_val_loss=0.1), trial_of(1, val_loss=2.0)])

    assert numbers(rows) == [1, 0]
    assert (rows[1].rank, rows[1].val_loss, rows[1].state) == (None, 0.1, TrialState.RUNNING)


def test_diverged_failed_and_queued_trials_come_last_by_number(trial_of, open_trial_of):
    rows = leaderboard(
        [
            open_trial_of(0, state=TrialState.QUEUED),
            trial_of(1, state=TrialState.DIVERGED, val_loss=0.5),
            open_trial_of(2),
            trial_of(3, state=TrialState.FAILED, val_loss=None),
            trial_of(4),
        ]
    )

    assert numbers(rows) == [4, 2, 0, 1, 3]
    assert [row.rank for row in rows] == [1, None, None, None, None]


@pytest.mark.parametrize("loss", ["val_loss", "best_val_loss", "bits_per_byte"])
def test_ranks_follow_the_loss_that_is_sorted_by(trial_of, loss):
    rows = leaderboard([trial_of(0, **{loss: 2.5}), trial_of(1, **{loss: 1.5})], sort_by=loss)

    assert [(row.rank, row.trial) for row in rows] == [(1, 1), (2, 0)]


def test_sorted_by_size_each_row_still_shows_its_rank_by_val_loss(trial_of):
    small, large = trial_of(0, n_params=10, val_loss=2.0), trial_of(1, n_params=20, val_loss=1.0)

    assert [(row.rank, row.trial) for row in leaderboard([large, small], "n_params")] == [(2, 0), (1, 1)]


@pytest.mark.parametrize("column", SORTABLE)
def test_every_column_that_can_be_sorted_by_sorts_from_the_lowest(trial_of, column):
    field = "number" if column == "trial" else column
    trials = [trial_of(at, **({field: value} if field != "number" else {})) for at, value in enumerate((3, 1, 2))]

    values = [getattr(row, column) for row in leaderboard(trials, column)]

    assert values == sorted(values)
    assert len(set(values)) == 3


def test_an_unknown_metric_is_an_error_that_shows_the_known_ones():
    with pytest.raises(
        UnknownName, match=r"^unknown metric 'val_los'; known: best_val_loss, .*, val_loss\. Did you mean 'val_loss'\?$"
    ):
        leaderboard([], "val_los")


def test_a_study_without_trials_has_an_empty_leaderboard():
    assert leaderboard([]) == []
