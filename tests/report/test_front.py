"""The front of a study with several objectives and constraints, on a terminal and for a program."""

import io
import json
import math

import pytest

from growlab.errors import NotFound, UnknownName, UsageError
from growlab.export.ranking import best_trials
from growlab.preparation.confirming import ranked_winners
from growlab.preparation.fronts import front_with_models, recorded_front, untold
from growlab.records import Metric, TrialState
from growlab.report.columns import columns_for_programs
from growlab.report.formats import render
from growlab.report.leaderboard import read_leaderboard
from growlab.report.title import read_title

OBJECTIVES = [
    {"metric": "val_loss", "direction": "minimise", "reference": 4.0},
    {"metric": "params", "direction": "minimise", "reference": 100.0},
    {"metric": "decode_tokens_per_s", "direction": "maximise", "reference": 0.0},
]
# val_loss, params, tokens per second: the third is worse than the first in everything, the fourth is slow
TRIALS = [(2.0, 60, 10.0), (3.0, 20, 10.0), (2.5, 70, 9.0), (1.0, 50, 4.0), (1.5, 10, None)]


@pytest.fixture
def judged(store, study_row, run_trial, result_of):
    """Five trials that completed, of the last of which the speed is not known, and one that diverged."""

    def judge(objectives=OBJECTIVES, constraints=None):
        store.change_study("nightly", {"objective": None, "objectives": objectives, "constraints": constraints})
        return store.study("nightly")

    for number, (loss, n_params, speed) in enumerate(TRIALS):
        speed = math.nan if speed is None else speed
        row = Metric(step=100, split="train", name="decode_tokens_per_s", value=speed)
        run_trial(number, result=result_of(val_loss=loss, best_val_loss=loss, n_params=n_params), facts=[row])
    run_trial(5, result=result_of(state=TrialState.DIVERGED, val_loss=None))
    return judge


def leaderboard_of(store, row, format, only_front=False, **options):
    front, stream = recorded_front(store, row), io.StringIO()
    rows = read_leaderboard(store, row.id, "val_loss", front)
    rows = [ranked for ranked in rows if ranked.front] if only_front else rows
    render(rows, format, stream, title=read_title(store, row), front=front, **options)
    return stream.getvalue()


def test_a_program_reads_who_is_on_the_front_its_volume_and_every_trials_values(store, judged):
    found = json.loads(leaderboard_of(store, judged(), "json"))

    assert found["objectives"] == OBJECTIVES
    assert (found["front"], found["unknown"], found["infeasible"]) == ([3, 0, 1], [4], [])
    boxes = [(4 - loss) * (100 - n_params) * speed for loss, n_params, speed in (TRIALS[0], TRIALS[1], TRIALS[3])]
    shared = [1 * 40 * 10, 2 * 40 * 4, 1 * 50 * 4]  # of 0 and 1, 0 and 3, 1 and 3
    assert found["hypervolume"] == pytest.approx(sum(boxes) - sum(shared) + 1 * 40 * 4)
    assert found["reference"] == [4.0, 100.0, 0.0]
    by_number = {trial["trial"]: trial for trial in found["trials"]}
    assert by_number[2]["values"] == {"val_loss": 2.5, "params": 70.0, "decode_tokens_per_s": 9.0}
    assert [by_number[at]["front"] for at in range(6)] == [True, True, False, True, False, None]
    assert by_number[4]["values"]["decode_tokens_per_s"] is None


def test_a_person_sees_marks_and_a_column_for_each_metric_that_has_none(store, judged):
    lines = leaderboard_of(store, judged(), "table").splitlines()

    names = "val_loss, params, decode_tokens_per_s (maximised)"
    assert "by val_loss (front with params, decode_tokens_per_s (maximised))" in lines[0]
    assert "decode_tokens_per_s" in lines[1]
    assert [line.split()[:3] for line in lines[3:5]] == [["◆", "1", "3"], ["2", "4", "d=8"]]
    assert f"front of {names}: trials 3, 0, 1" in lines
    assert "hypervolume 1440 within val_loss 4, params 100, decode_tokens_per_s 0" in lines
    assert "not all objectives are known, so on no front: trial 4" in lines


def test_only_the_front_is_shown_where_only_that_is_asked_for(store, judged):
    header, *lines = leaderboard_of(store, judged(), "tsv", only_front=True).splitlines()

    assert [line.split("\t")[1] for line in lines] == ["3", "0", "1"]
    assert header.endswith("front\tseed\tgrowths\tlayout_end\tdecode_tokens_per_s\ttrain.lr\tgrowth.patience")


def test_what_is_beyond_a_constraint_has_no_rank_and_is_best_of_nothing(store, judged):
    row = judged(OBJECTIVES[:2], {"decode_tokens_per_s": {"at_least": 9}})
    front = recorded_front(store, row)

    rows = read_leaderboard(store, row.id, "val_loss", front)

    assert (front.trials, front.infeasible, front.unknown) == ((0, 1), (3, 4), ())
    assert [(ranked.trial, ranked.rank, ranked.feasible) for ranked in rows] == [
        (0, 1, True),
        (2, 2, True),
        (1, 3, True),
        (3, None, False),
        (4, None, False),
        (5, None, None),
    ]
    assert [trial.number for trial in best_trials(store, row)] == [0, 2, 1]
    assert ranked_winners(store, row)[0].number == 0
    assert "beyond a constraint, and on no front: trials 3, 4" in leaderboard_of(store, row, "table")


def test_where_nothing_holds_the_constraints_there_is_nothing_to_export(store, judged):
    row = judged(constraints={"params": {"at_most": 5}})

    with pytest.raises(NotFound, match="none of the 5 completed trials of study 'nightly' is known to hold"):
        best_trials(store, row)
    with pytest.raises(NotFound, match="no trial on its front that was trained"):
        front_with_models(store, row, recorded_front(store, row), print)


def test_one_objective_without_a_constraint_is_reported_as_it_always_was(store, study_row, run_trial, result_of):
    run_trial(0, result=result_of())

    rows = read_leaderboard(store, study_row.id, "val_loss", recorded_front(store, study_row))

    assert recorded_front(store, study_row) is None
    assert not {"front", "feasible", "val_loss"} & {column.name for column in columns_for_programs(rows)[13:]}
    with pytest.raises(UsageError, match="study 'nightly' has one objective and no constraint, so there is no front"):
        front_with_models(store, study_row, None, print)


def test_what_a_layout_tells_is_known_of_trials_that_were_asked_and_of_others_untold(store, judged):
    row = judged([OBJECTIVES[0], {"metric": "flops_per_token", "direction": "minimise"}])
    front = recorded_front(store, row)

    assert untold(row.study, front.values) == [0, 1, 2, 3, 4]
    assert (front.trials, front.unknown, front.reference) == ((), (0, 1, 2, 3, 4), ())
    assert front.lines[0] == "front of val_loss, flops_per_token: no trial yet"


def test_rows_are_sorted_by_any_objective_the_best_first(store, judged):
    row = judged()
    front = recorded_front(store, row)

    rows = read_leaderboard(store, row.id, "decode_tokens_per_s", front)

    assert [ranked.trial for ranked in rows] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UnknownName, match=r"unknown column 'first_guess'; known: .*, decode_tokens_per_s,"):
        read_leaderboard(store, row.id, "first_guess", front)
