"""A growth plan in a study file: presets by name, what silence means, and what a trial's row says of it."""

import pytest

import growlab.growth.protocol
import growlab.search  # noqa: F401  (fill the tables)
from growlab.domains import Choice, Fixed, Rising
from growlab.errors import SpecError, UsageError
from growlab.kinds import KINDS
from growlab.recipes import OPERATORS
from growlab.search import check_space, preview
from growlab.study.column import study_from_column, study_to_mapping, trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.growth_section import growth_defaults, read_growth
from growlab.study.presets import PRESETS
from growlab.study.reading import study_from_mapping

RAW = {
    "name": "a",
    "n_trials": 1,
    "budget": {"steps": 100},
    "layouts": {"blocks": ["attn", "mlp"], "d_model": 8, "depth": 2, "start_with": ["d=8 attn[n_heads=2] mlp"]},
}


def study(**sections):
    return study_from_mapping(RAW | sections)


def first_growth(**sections):
    [proposal] = preview(study(**sections), KINDS, lambda layout: 0, n=1)
    return proposal.spec.growth


def test_no_section_and_false_mean_no_growth():
    assert study().growth == study(growth=False).growth == growth_defaults()
    assert growth_defaults()["trigger"] == Fixed(value="never")


@pytest.mark.parametrize(
    "section", [True, "early-double", {"preset": "early-double"}, {}, {"entry_scale": 1.0}, {"factor": 2}]
)
def test_true_and_a_section_without_a_trigger_mean_the_plan_that_measured_best(section):
    growth = first_growth(growth=section)

    assert (growth.trigger.name, growth.trigger.options) == ("at", {"shares": "0.05"})
    assert (growth.operator.name, growth.position.name) == ("stack", "append")
    assert (growth.factor, growth.entry_scale, growth.freeze_steps, growth.cooldown_steps) == (2, 1.0, 0, 0)


def test_what_stands_beside_a_preset_replaces_it():
    section = {"preset": "aiether", "trigger": {"at": {"shares": "0.1, 0.2"}}, "operator": "stack", "freeze_steps": 7}

    domains = read_growth(section)

    assert domains["trigger.at.shares"] == Fixed(value=Rising("0.1 0.2"))
    assert domains["freeze_steps"] == Fixed(value=7)
    assert domains["rewarm_steps"] == Fixed(value=500), "as the preset has it"
    assert not {key for key in domains if "stagnation" in key or "aiether" in key}


def test_a_searched_key_without_a_trigger_is_a_search_of_the_plan():
    domains = read_growth({"entry_scale": "search", "trigger.at.shares": ["0.05", "0.1 0.2"]})

    assert domains["entry_scale"] == Choice(values=(0.0, 0.3, 1.0))
    assert domains["trigger.at.shares"] == Choice(values=("0.05", "0.1 0.2"))
    assert domains["factor"] == Fixed(value=2)


@pytest.mark.parametrize("key", ["tau_crit", "trigger.stagnation.tau_crit", "beta0"])
def test_an_option_of_a_part_that_no_section_names_is_refused(key):
    with pytest.raises(SpecError, match=rf"growth\.{key} is an option of (trigger|operator) (stagnation|aiether)"):
        read_growth({key: 1})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_study_that_can_run_and_survives_its_column(name):
    grown = study(growth=name)

    check_space(grown, KINDS)
    [proposal] = preview(grown, KINDS, lambda layout: 0, n=1)
    assert study_from_column(study_to_mapping(grown)) == grown
    assert trial_spec_from_mapping(trial_spec_to_mapping(proposal.spec)) == proposal.spec
    assert proposal.spec.growth.grows


def test_the_founding_preset_is_what_its_project_wrote_down():
    growth = first_growth(growth="aiether")

    assert growth.trigger.options == {
        "patience": 5,
        "threshold": 0.15,
        "tau_crit": 2.0,
        "kappa_crit": 0.5,
        "warmup_steps": 400,
    }
    gains = {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03}
    assert growth.operator.options == gains | {"k_subspace": 10, "ell_orth": 5, "k_rule": "fixed"}
    assert growth.watch == "newest"
    assert (growth.entry_scale, growth.freeze_steps, growth.factor, growth.units) == (1.0, 400, 1, 1)


def test_a_trials_row_says_how_deep_its_plan_ends():
    section = {"trigger": {"at": {"shares": "0.1 0.2"}}, "operator": "stack", "factor": 2, "max_depth": 0}

    assert first_growth(growth=section).max_depth == 8
    assert first_growth(growth=section | {"max_depth": 9}).max_depth == 9


def test_a_plan_that_is_tried_ends_no_deeper_than_with_every_growth_kept():
    section = {"trigger": {"probe": {"shares": "0.1 0.3"}}, "operator": "stack", "factor": 2, "max_depth": 0}

    assert first_growth(growth=section).max_depth == 8


def test_a_depth_that_only_training_could_tell_is_refused():
    grown = study(growth={"trigger": ["at", "stagnation"], "max_depth": 0})

    with pytest.raises(
        UsageError, match=r"growth\.max_depth 0 leaves the depth to the trigger, and stagnation does not"
    ):
        check_space(grown, KINDS)


def test_an_operator_that_copies_units_takes_no_other_blocks():
    grown = study(growth={"trigger": "at", "operator": "stack", "unit": "attn"})

    with pytest.raises(UsageError, match=r"growth\.operator stack copies units as they are, so growth\.unit must be"):
        check_space(grown, KINDS)


@pytest.mark.parametrize(("preserved", "scale"), [(True, 0.0), (False, 1.0)])
def test_a_row_from_before_there_was_a_scale_means_what_it_said(preserved, scale):
    row = trial_spec_to_mapping(preview(study(growth="aiether"), KINDS, lambda layout: 0, n=1)[0].spec)
    for key in ("entry_scale", "units", "factor", "new_lr_factor", "moment_scale"):
        del row["growth"][key]
    row["growth"]["preserve_function"] = preserved

    growth = trial_spec_from_mapping(row).growth

    assert (growth.entry_scale, growth.units, growth.factor) == (scale, 1, 1)
    assert (growth.new_lr_factor, growth.moment_scale) == (1.0, 0.0)


def test_a_study_from_before_there_was_a_scale_searches_what_it_searched():
    column = study_to_mapping(study(growth={"trigger": "stagnation", "entry_scale": [0.0, 1.0]}))
    for key in ("entry_scale", "units", "factor", "new_lr_factor", "moment_scale"):
        del column["growth"][key]
    column["growth"]["preserve_function"] = [True, False]

    domains = study_from_column(column).growth

    assert domains["entry_scale"] == Choice(values=(0.0, 1.0))
    assert domains["factor"] == domains["units"] == Fixed(value=1)


def test_a_trial_that_grows_watches_every_unit_and_a_row_of_before_means_the_newest():
    [proposal] = preview(study(growth={"trigger": "at"}), KINDS, lambda layout: 0, n=1)
    row = trial_spec_to_mapping(proposal.spec)
    of_study = study_to_mapping(study(growth={"trigger": "at"}))
    del row["growth"]["watch"], of_study["growth"]["watch"]
    del row["growth"]["operator"]["aiether"]["k_rule"]

    before = trial_spec_from_mapping(row).growth

    assert proposal.spec.growth.watch == "all"
    assert before.watch == "newest"
    assert OPERATORS["aiether"].read(before.operator.options).k_rule == "fixed"
    assert study_from_column(of_study).growth["watch"] == Fixed(value="newest")
