"""Every key of a study file is in the reference, with a sentence, and the page in docs/ is what it says."""

import json
from dataclasses import asdict, dataclass, fields

import pytest

from growlab.domains import Fixed, Range
from growlab.errors import SpecError, UsageError
from growlab.plugins import load_plugins
from growlab.scalar import scalar
from growlab.specs import BudgetSpec, DataSpec, GrowthSpec, StageSpec, TrainSpec
from growlab.study import LayoutSpace, Objective, reading, reference
from growlab.study.column import study_from_column, study_to_mapping
from growlab.study.reading import study_from_mapping

RANGE = Range(low=0.5, high=0.9)
RAW = {"name": "a", "n_trials": 1, "budget": {"steps": 1}, "layouts": {"blocks": ["attn"], "d_model": 8, "depth": 1}}


@pytest.fixture(autouse=True)
def tables():
    load_plugins()


def test_every_key_that_a_study_writes_out_is_in_the_reference():
    listed = {key.name for key in reference.all_keys()}
    written = study_to_mapping(study_from_mapping(RAW))

    sections = {"data": DataSpec, "train": TrainSpec, "growth": GrowthSpec, "layouts": LayoutSpace}
    sections |= {"objectives[]": Objective, "curriculum[]": StageSpec}
    expected = {f"{section}.{each.name}" for section, spec in sections.items() for each in fields(spec)}
    expected |= {key for key, value in written.items() if not isinstance(value, dict | list)}
    expected |= {f"sampler.{key}" for key in written["sampler"]}
    assert expected - {"objectives[].options"} - listed == set()  # those stand beside the name
    assert {f"budget.{unit}" for unit in BudgetSpec.__annotations__["unit"].__args__} <= listed


def test_every_key_has_a_sentence_and_a_type():
    assert [key.name for key in reference.all_keys() if not (key.help and key.type)] == []


def test_the_page_of_the_documents_is_what_the_keys_are(repository):
    assert (repository / "docs" / "study-file.md").read_text() == reference.page(reference.all_keys()), (
        "make it anew: growlab study keys --markdown > docs/study-file.md"
    )


def test_one_key_or_a_section_is_found_by_name():
    [lr] = reference.keys_named("train.lr")

    assert (lr.default, lr.range, lr.search) == ("0.003", "greater than 0", "{low: 0.0003, high: 0.01, log: true}")
    assert {key.name for key in reference.keys_named("growth.trigger.stagnation")} >= {
        "growth.trigger.stagnation.tau_crit"
    }
    with pytest.raises(UsageError, match=r"no key 'train\.lrr'; its sections are budget, .*Did you mean 'train\.lr'"):
        reference.keys_named("train.lrr")


def test_a_scalar_that_is_declared_in_one_line_is_everywhere(monkeypatch):
    """In the reference, the checks, the search ranges and an old row."""

    @dataclass(frozen=True, kw_only=True)
    class Longer(TrainSpec):
        momentum: float = scalar(0.9, at_least=0, below=1, search=RANGE, since="9.9", before=0.0, help="new")

    old = json.loads(json.dumps(study_to_mapping(study_from_mapping(RAW))))
    for module in (reading, reference, study_from_column.__globals__):
        target = module if isinstance(module, dict) else vars(module)
        monkeypatch.setitem(target, "TrainSpec", Longer)

    assert reference.keys_named("train.momentum")[0].since == "9.9"
    assert reference.search_ranges()["train.momentum"] == RANGE
    assert study_from_mapping(RAW).train["momentum"] == Fixed(value=0.9)
    assert study_from_column(old).train["momentum"] == Fixed(value=0.0)
    with pytest.raises(SpecError, match=r"train\.momentum must be at least 0 and below 1, got 1\.0"):
        study_from_mapping(RAW | {"train": {"momentum": 1}})


def test_a_key_is_printed_with_all_that_is_known_of_it():
    [key] = reference.keys_named("growth.freeze_steps")

    assert reference.about(key) == "whole number; default 0; at least 0"
    assert asdict(key)["name"] == "growth.freeze_steps"
