"""Synonyms of the field lead to keys that there are."""

import pytest

from growlab.kinds import KINDS
from growlab.scalar import scalars_of
from growlab.specs import DataSpec, GrowthSpec, TrainSpec
from growlab.stopping import StopRules
from growlab.study import LayoutSpace, Study
from growlab.study.keys import _MEANT, hint
from growlab.study.limits import STUDY_UNITS
from growlab.study.limits_section import read_limits

SECTIONS = {"train": TrainSpec, "growth": GrowthSpec, "layouts": LayoutSpace, "data": DataSpec, "stop": StopRules}


@pytest.mark.parametrize("meant", sorted(set(_MEANT.values())))
def test_what_is_meant_is_a_key_of_a_study(meant):
    section, _, name = meant.rpartition(".")

    if section == "budget":
        assert name in ("flops", "tokens", "steps")
    elif section == "budget.study":
        assert name in STUDY_UNITS
    elif meant == "stop_when":
        assert read_limits({"budget": {}, meant: {"val_loss": 1.0}})
    elif section == "layouts.blocks.attn":
        assert name in KINDS["attn"].option_fields()
    else:
        assert name in SECTIONS.get(section, Study).__dataclass_fields__


def test_no_synonym_is_a_key_of_the_section_that_it_leads_to():
    keys = {**dict.fromkeys(scalars_of(TrainSpec), "train"), **dict.fromkeys(scalars_of(GrowthSpec), "growth")}

    assert [name for name, meant in _MEANT.items() if keys.get(name) == meant.rpartition(".")[0]] == []


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        ("train", "batch", "'batch_size'"),
        ("train", "Learning-Rate", "'lr'"),
        ("", "weight_decay", "'train.weight_decay'"),
        ("layouts", "n_embd", "'d_model'"),
        ("layouts", "seq_len", "'train.seq_len'"),
        ("budget", "epochs", "'tokens'"),
        ("growth", "patiance", "'patience'"),
    ],
)
def test_a_key_that_is_not_there_leads_to_one_that_is(section, key, meant):
    assert hint(section, key, ["patience"]).startswith(f" Did you mean {meant}?")


def test_of_a_word_that_means_nothing_nothing_is_said():
    assert hint("train", "zzz", ["lr"]) == ""
