"""Which trial is first, which has a rank, and what can be sorted by."""

import math
from dataclasses import fields

import pytest

from growlab.errors import UnknownName
from growlab.records import TrialState
from growlab.report.columns import LeaderboardRow
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


SORTED_BY = ("number", "depth_end", "n_params", "val_loss", "best_val_loss", "bits_per_byte", "flops", "tokens")


@pytest.mark.parametrize("field", SORTED_BY)
def test_rows_come_from_the_lowest_value_on_and_behind_a_minus_from_the_highest(trial_of, field):
    column = "trial" if field == "number" else field
    others = [{"number": at + 1, field: value} for at, value in enumerate((3, 1, 2))]
    trials = [trial_of(values.pop("number"), **values) for values in others]

    up, down = ([getattr(row, column) for row in leaderboard(trials, sort_by)] for sort_by in (column, f"-{column}"))

    assert up == sorted(up)
    assert len(set(up)) == 3
    assert down == up[::-1]


def test_words_searched_values_and_a_terminals_headers_can_be_sorted_by(trial_of):
    params = [{"train.lr": 0.1, "a.part": "stack"}, {"train.lr": 0.01, "a.part": "average"}, {}]
    trials = [trial_of(at, params=each, n_params=10 - at) for at, each in enumerate(params)]

    assert numbers(leaderboard(trials, "lr")) == [1, 0, 2]
    assert numbers(leaderboard(trials, "-train.lr")) == [0, 1, 2]  # what has no value comes last, either way
    assert numbers(leaderboard(trials, "part")) == [1, 0, 2]
    assert numbers(leaderboard(trials, "params")) == [2, 1, 0]


def test_a_scalar_that_no_trial_has_drawn_yet_is_known():
    assert leaderboard([], "train.lr", scalars=["train.lr"]) == []


def test_an_unknown_column_is_an_error_that_shows_the_known_ones():
    with pytest.raises(
        UnknownName,
        match=r"^unknown column 'val_los'; known: accuracy, best_val_loss, .*, val_loss\. Did you mean 'val_loss'\?$",
    ):
        leaderboard([], "val_los")


def test_a_study_without_trials_has_an_empty_leaderboard():
    assert leaderboard([]) == []


def test_a_row_has_a_value_in_every_field(trial_of):
    [row] = leaderboard([trial_of(0)])

    assert vars(row).keys() == {field.name for field in fields(LeaderboardRow)}
