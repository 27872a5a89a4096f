"""budget.study and stop_when of a study file."""

import pytest

from growlab.errors import SpecError
from growlab.records import Spent
from growlab.study import Limits
from growlab.study.column import study_from_column, study_to_mapping
from growlab.study.overrides import apply_overrides
from growlab.study.reading import study_from_mapping


def raw(**changes):
    space = {"d_model": 8, "depth": 2, "blocks": ["attn", "mlp"]}
    return {"name": "nightly", "n_trials": 10, "budget": {"steps": 400}, "layouts": space, **changes}


def test_a_study_says_what_its_trials_may_spend_together_and_what_is_good_enough():
    of_study = {"flops": 1e18, "gpu_hours": 24, "hours": 8}
    study = study_from_mapping(raw(budget={"steps": 400, "study": of_study}, stop_when={"val_loss": 1.45}))

    assert (study.budget.unit, study.budget.amount, study.n_trials) == ("steps", 400, 10)
    assert study.limits == Limits(budget=of_study, stop_when={"val_loss": 1.45})
    assert study_from_column(study_to_mapping(study)) == study
    assert study_from_mapping(study_to_mapping(study)) == study


def test_a_study_that_says_neither_is_stored_as_before():
    mapping = study_to_mapping(study_from_mapping(raw()))

    assert mapping["budget"] == {"steps": 400}
    assert "stop_when" not in mapping


def test_trials_of_the_study_are_n_trials_by_another_name():
    asked = raw(budget={"steps": 400, "study": {"trials": 12, "hours": 8}})
    del asked["n_trials"]

    study = study_from_mapping(asked)

    assert (study.n_trials, study.limits.budget) == (12, {"hours": 8.0})


def test_set_changes_one_limit_and_leaves_the_rest():
    asked = raw(budget={"steps": 400, "study": {"hours": 8}})

    apply_overrides(asked, ["budget.study.flops=1e15", "budget.tokens=2e6", "stop_when.val_loss=1.4"])

    assert asked["budget"] == {"study": {"hours": 8, "flops": 1e15}, "tokens": 2e6}
    assert study_from_mapping(asked).limits.stop_when == {"val_loss": 1.4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": {"steps": 4, "study": {"hour": 8}}}, r"budget\.study\.hour: unknown key\. Did you mean 'hours'\?"),
        ({"budget": {"steps": 4, "hours": 8}}, r"budget\.hours: unknown key\. Did you mean 'budget\.study\.hours'\?"),
        (
            {"budget": {"steps": 4, "study": {"hours": 0}}},
            r"budget\.study\.hours: must be a number greater than 0, got 0",
        ),
        (
            {"budget": {"steps": 4, "study": {"flops": "lots"}}},
            r"study\.flops: must be a number greater than 0, got 'lots'",
        ),
        ({"budget": {"steps": 4, "study": 8}}, r"budget\.study: must be a mapping, got 8"),
        ({"budget": {"study": {"hours": 8}}}, r"budget: needs exactly one of flops, tokens, steps, got none"),
        ({"budget": {"steps": 4, "study": {"trials": 3}}}, r"study\.trials: is n_trials by another name, .* 10; got 3"),
        ({"stop_when": {"loss": 1.4}}, r"stop_when\.loss: unknown key"),
        ({"stop_when": {"val_loss": True}}, r"stop_when\.val_loss: must be a number, got True"),
        ({"stop_when": {"val_loss": float("nan")}}, r"stop_when\.val_loss: must be a number, got nan"),
        ({"stop_when": 1.4}, r"stop_when: must be a mapping, got 1\.4"),
        ({"max_hours": 8}, r"max_hours: unknown key\. Did you mean 'budget\.study\.hours'\?"),
    ],
)
def test_what_cannot_be_meant_is_named(changes, message):
    with pytest.raises(SpecError, match=message):
        study_from_mapping(raw(**changes))


@pytest.mark.parametrize(
    ("spent", "reason"),
    [
        (Spent(), ""),
        (Spent(flops=9.9, hours=7.99, best={"val_loss": 1.46}), ""),
        (Spent(flops=10.0), "budget.study.flops 10 is spent (10)"),
        (Spent(hours=32.0, flops=3.0), "budget.study.hours 8 is spent"),
        (Spent(best={"val_loss": 1.449}), "stop_when.val_loss 1.45 is reached (1.4490)"),
        (Spent(best={"best_val_loss": 1.0}), ""),
    ],
)
def test_whichever_limit_is_reached_first_ends_a_study(spent, reason):
    limits = Limits(budget={"flops": 10.0, "hours": 8.0}, stop_when={"val_loss": 1.45})

    assert limits.why_over(spent) == reason
    assert Limits().why_over(spent) == ""
