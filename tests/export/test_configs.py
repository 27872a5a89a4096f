"""The best trials as configurations."""

import json

import pytest
import yaml

from growlab.errors import NotFound, UnknownName
from growlab.export.configs import best_configs, render_configs
from growlab.study.column import trial_spec_from_mapping


def test_the_best_come_first_and_can_be_run_again(lab):
    configs = best_configs(lab.store, lab.study_row, top=5)

    assert [config["rank"] for config in configs] == [1, 2]
    assert configs[0]["val_loss"] < configs[1]["val_loss"]
    for config in configs:
        trial = lab.store.trial(lab.study_row.id, config["trial"])
        assert trial_spec_from_mapping(config["trial_spec"]) == trial.spec
        assert (config["layout"], config["bits_per_byte"]) == (trial.layout_end, trial.bits_per_byte)


def test_only_as_many_as_asked_for_are_given(lab):
    assert len(best_configs(lab.store, lab.study_row, top=1)) == 1


@pytest.mark.parametrize(("format", "read"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_both_formats_read_back_as_the_same_configurations(lab, format, read):
    configs = best_configs(lab.store, lab.study_row, top=2)

    assert read(render_configs(configs, format)) == configs


def test_a_study_without_a_completed_trial_has_none(lab, empty_study):
    with pytest.raises(NotFound, match="study 'empty' has no completed trial yet"):
        best_configs(lab.store, empty_study, top=3)


def test_an_unknown_format_is_an_error_that_shows_the_known_ones():
    with pytest.raises(UnknownName, match="unknown format 'toml'; known: json, yaml"):
        render_configs([], "toml")
