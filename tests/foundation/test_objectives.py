"""What trials are judged by: metrics with directions and options, and constraints, in a file and in a row."""

import json
import re

import pytest

from growlab.errors import SpecError, UnknownName
from growlab.metrics import METRICS, register_metric
from growlab.study import Constraint, Objective
from growlab.study.column import study_from_column, study_to_mapping
from growlab.study.reading import study_from_mapping

BASE = {"name": "a", "n_trials": 1, "budget": {"steps": 1}, "layouts": {"blocks": ["attn"], "d_model": 8, "depth": 1}}


def read(**said):
    return study_from_mapping({**BASE, **said})


def test_a_silent_study_has_the_one_objective_that_it_always_had():
    study = read()

    assert (study.objectives, study.constraints, study.metrics) == ((Objective(),), (), ("val_loss",))
    assert study_to_mapping(study)["objective"] == {"metric": "val_loss"}
    assert not {"objectives", "constraints"} & study_to_mapping(study).keys()
    assert (
        read(objectives="val_loss") == read(objectives=["val_loss"]) == read(objective={"metric": "val_loss"}) == study
    )


def test_several_objectives_have_directions_and_options_of_their_own():
    study = read(
        objectives=[
            "bits_per_byte",
            "params",
            {"metric": "state_size", "seq_len": 4096, "reference": 1e6},
            {"metric": "train_tokens_per_s"},
            {"metric": "memory", "direction": "maximise"},
        ]
    )

    assert study.objectives == (
        Objective(metric="bits_per_byte"),
        Objective(metric="params"),
        Objective(metric="state_size", options={"seq_len": 4096}, reference=1e6),
        Objective(metric="train_tokens_per_s", direction="maximise"),
        Objective(metric="memory", direction="maximise"),
    )
    assert (study.objective.metric, study.loss) == ("bits_per_byte", "bits_per_byte")
    assert study.metrics[2] == "state_size[seq_len=4096]"
    assert study.objectives[3].lower_is_better(5.0) == -5.0


def test_a_constraint_has_bounds_of_a_metric_and_its_options():
    study = read(constraints={"params": {"at_most": "5e6"}, "state_size": {"at_least": 1, "at_most": 9, "seq_len": 8}})

    params, state = study.constraints
    assert params == Constraint(metric="params", at_most=5e6)
    assert (state.key, [state.holds(value) for value in (0, 1, 9, 10, float("nan"))]) == (
        "state_size[seq_len=8]",
        [False, True, True, False, False],
    )
    assert study.metrics == ("val_loss", "params", "state_size[seq_len=8]")


@pytest.mark.parametrize(
    "said",
    [
        {"objective": {"metric": "best_val_loss"}},
        {
            "objectives": ["val_loss", {"metric": "state_size", "seq_len": 2}],
            "constraints": {"params": {"at_least": 5}},
        },
        {"objectives": [{"metric": "val_loss", "reference": 3}]},
    ],
)
def test_what_a_row_holds_is_what_was_said(said):
    study = read(**said)

    row = json.loads(json.dumps(study_to_mapping(study)))

    assert study_from_column(row) == study_from_mapping(row) == study


def test_a_row_may_name_a_metric_of_a_plugin_that_is_not_here():
    theirs = {"metric": "theirs", "direction": "maximise"}
    row = study_to_mapping(read(objectives=["val_loss", "params"]))
    row["objectives"][1] = theirs

    assert study_from_column(row).objectives[1] == Objective(metric="theirs", direction="maximise")
    with pytest.raises(UnknownName, match="unknown metric 'theirs'; known: accuracy"):
        study_from_mapping(row)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"objectives": ["val_loss"], "objective": {"metric": "val_loss"}}, "a study has one of the two sections"),
        ({"objectives": []}, "objectives must be 1 to 5, got 0"),
        ({"objectives": ["params"]}, "the first one ranks trials where one number is needed, and must be val_loss, "),
        ({"objectives": ["val_loss", "val_loss"]}, "objectives: names 'val_loss' twice"),
        (
            {"objectives": ["val_loss", {"direction": "minimise"}]},
            "objectives[1].metric: is missing; write the name of",
        ),
        (
            {"objectives": ["val_loss", {"metric": "params", "direction": "max"}]},
            "direction must be minimise or maximise",
        ),
        (
            {"objectives": ["val_loss", {"metric": "params", "directoin": "x"}]},
            "unknown key. Did you mean 'direction'?",
        ),
        ({"objectives": ["val_loss", {"metric": "params", "seq_len": 5}]}, "objectives[1].seq_len: unknown key"),
        ({"objectives": ["val_loss", {"metric": "state_size", "seq_len": -1}]}, "seq_len must be at least 0, got -1"),
        ({"objectives": ["val_loss", {"metric": "bits_per_byte", "direction": "maximise"}]}, "cannot be maximised"),
        (
            {"objectives": ["val_loss", {"metric": "params", "reference": "far"}]},
            "reference must be a number, got 'far'",
        ),
        ({"constraints": {"params": {}}}, "constraints.params: needs at_most or at_least, got neither"),
        ({"constraints": {"params": {"at_most": 1, "at_least": 2}}}, "constraints.params.at_least must be at most 1"),
        ({"constraints": {"params": {"most": 1}}}, "constraints.params.most: unknown key"),
        ({"constraints": {"parmas": {"at_most": 1}}}, "unknown metric 'parmas'; known: "),
        ({"constraints": ["params"]}, "constraints: must be a mapping"),
        (
            {"constraints": {"params": {"at_most": 1}}, "stop_when": {"val_loss": 1}},
            "stop_when: a trial beyond a constraint would end the study too",
        ),
        ({"objectves": ["val_loss"]}, "objectves: unknown key. Did you mean 'objectives'?"),
    ],
)
def test_a_slip_has_its_path(said, message):
    with pytest.raises((SpecError, UnknownName), match=re.escape(message)):
        read(**said)


def test_a_metric_of_a_plugin_is_named_like_ours():
    entries = dict(METRICS)
    try:
        register_metric("sharpness", "of the minimum", direction="minimise")(lambda model, corpus, device: 1.0)
        assert read(objectives=["val_loss", "sharpness"]).objectives[1] == Objective(metric="sharpness")
    finally:
        METRICS.reset(entries)


@pytest.mark.parametrize("name", ["loss", "two words", "a[b]"])
def test_a_metric_cannot_be_named_like_what_training_records_or_like_an_option(name):
    with pytest.raises(ValueError, match="choose another"):
        register_metric(name, "", direction="minimise")(lambda model, corpus, device: 1.0)
