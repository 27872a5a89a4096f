"""The section `stop` of a study: what it says, how it is kept, and every slip in words."""

import pytest

from growlab.errors import SpecError
from growlab.records import EarlyStop
from growlab.stopping import DivergenceRule, MedianRule, PatienceRule, StopRules
from growlab.study.column import study_from_column, study_to_mapping
from growlab.study.reading import study_from_mapping


def study_with(stop, **changes):
    return study_from_mapping(
        {
            "name": "small",
            "n_trials": 3,
            "layouts": {"blocks": ["attn", "mlp"], "d_model": 16, "depth": 2},
            "budget": {"flops": 900},
            "stop": stop,
            **changes,
        }
    )


def test_a_silent_study_stops_no_trial_and_reads_none_on_its_way():
    study = study_with(None)

    assert (study.stop, study.read_at) == (None, None)
    assert "stop" not in study_to_mapping(study)


def test_a_rule_that_is_true_has_all_its_defaults_and_one_that_is_false_is_none():
    study = study_with({"median": True, "patience": {"evaluations": 7}, "divergence": False, "grace": 0.1})

    assert study.stop == StopRules(median=MedianRule(), patience=PatienceRule(evaluations=7), grace=0.1)
    assert study_with({"divergence": {"margin": 0.2}}).stop == StopRules(divergence=DivergenceRule(margin=0.2))


def test_a_stored_study_has_the_rules_that_it_was_made_with():
    study = study_with({"median": {"first": 0.25, "factor": 2}, "divergence": True})

    assert study_from_column(study_to_mapping(study)) == study
    assert study_from_mapping(study_to_mapping(study)) == study


def test_trials_are_read_at_the_marks_of_the_median_rule_and_late_after_a_growth():
    marks = study_with({"median": {"first": 0.25, "factor": 2}, "grace": 0.1}).read_at

    assert (marks.marks(900), marks.grace, marks.reading) == ((225, 450), 0.1, "trunk")
    assert study_with({"patience": True}).read_at is None


@pytest.mark.parametrize(
    ("stop", "changes", "message"),
    [
        ({}, {}, "stop: names none of median, patience and divergence; name one, or leave the section out"),
        ({"grace": 0.1}, {}, "stop: names none of"),
        (True, {}, "stop: must be a mapping, got True"),
        ({"medain": True}, {}, "stop.medain: unknown key. Did you mean 'median'?"),
        ({"median": {"min": 3}}, {}, "stop.median.min: unknown key"),
        ({"median": {"first": 1}}, {}, "stop.median.first must be greater than 0 and below 1, got 1"),
        ({"median": {"factor": 1}}, {}, "stop.median.factor must be at least 1.5, got 1"),
        ({"median": {"first": 1e-9}}, {}, "stop.median.first must be large enough for at most 12 marks"),
        ({"median": {"min_trials": 0}}, {}, "stop.median.min_trials must be at least 1, got 0"),
        ({"patience": {"evaluations": 0}}, {}, "stop.patience.evaluations must be at least 1, got 0"),
        ({"patience": {"threshold": 1}}, {}, "stop.patience.threshold must be at least 0 and below 1, got 1"),
        ({"patience": {"after": -0.1}}, {}, "stop.patience.after must be at least 0 and below 1, got -0.1"),
        ({"divergence": {"evaluations": 0}}, {}, "stop.divergence.evaluations must be at least 1, got 0"),
        ({"divergence": {"margin": -1}}, {}, "stop.divergence.margin must be at least 0, got -1"),
        ({"median": True, "grace": 1}, {}, "stop.grace must be at least 0 and below 1, got 1"),
        ({"median": True}, {"budget": {"steps": 9}}, "stop.median: trials are compared by what they spent, in FLOPs"),
        ({"median": True}, {"rungs": True}, "stop.median: rungs compare trials already; leave out one of the two"),
        (
            {"patience": True},
            {"repeats": 2},
            "stop: the mean of repeats is of whole trials; leave it out, or",
        ),
    ],
)
def test_a_slip_is_told_with_its_key(stop, changes, message):
    with pytest.raises(SpecError) as refusal:
        study_with(stop, **changes)

    assert message in str(refusal.value)


def test_why_a_trial_was_stopped_is_told_in_words():
    stop = EarlyStop(rule="median", step=20, flops=9, share=0.25, val_loss=3.5, bound=3.0, rung=0, seen=(0, 2, 4))
    own = {"rule": "patience", "rung": None, "seen": (), "n_evaluations": 5}
    several = EarlyStop(**{**vars(stop), "val_loss": 2.5})
    patience, divergence = EarlyStop(**{**vars(stop), **own}), EarlyStop(**{**vars(stop), **own, "rule": "divergence"})

    where = "at step 20 (0.25 of the budget): "
    assert stop.reason == f"median, {where}val_loss 3.5000, the median of 3 others there 3.0000"
    assert several.reason == f"median, {where}in the worse half of 4 trials there by all objectives"
    assert patience.reason == f"patience, {where}val_loss 3.5000, 5 times in a row no better than 3.0000"
    apart = "5 times in a row above 3.0000 while the training loss fell"
    assert divergence.reason == f"divergence, {where}val_loss 3.5000, {apart}"
