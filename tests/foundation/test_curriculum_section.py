"""A study's curriculum, at the two doors."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from growlab.errors import SpecError
from growlab.scalar import with_defaults
from growlab.specs import BudgetSpec, DataSpec, StageSpec, TrainSpec, TrialSpec
from growlab.study.column import study_to_mapping, trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.file import read_study_file
from growlab.study.growth_section import growth_with
from growlab.study.reading import study_from_mapping

STUDY = {
    "name": "s",
    "n_trials": 1,
    "layouts": {"blocks": ["hebbian"], "d_model": 8, "depth": [1, 2]},
    "budget": {"steps": 1},
}
FOUNDING = [
    {"until": 0.15, "path": "dictionary.txt", "plasticity": 0.1},
    {"until": 0.40, "path": "stories.txt", "plasticity": 0.5},
    {"until": 1.0, "plasticity": 0.99},
]
STAGES = (
    StageSpec(until=0.15, path="dictionary.txt", sha256="", plasticity=0.1),
    StageSpec(until=0.4, path="stories.txt", sha256="", plasticity=0.5),
    StageSpec(until=1.0, path="", sha256="", plasticity=0.99),
)


def spec_of(curriculum: tuple[StageSpec, ...]) -> TrialSpec:
    return TrialSpec(
        layout="d=8 hebbian",
        data=with_defaults(DataSpec, path="/a.txt"),
        train=with_defaults(TrainSpec),
        growth=growth_with(),
        budget=BudgetSpec(unit="steps", amount=1),
        curriculum=curriculum,
        seed=0,
    )


def test_a_curriculum_is_read_with_its_defaults_and_written_out_again() -> None:
    study = study_from_mapping({**STUDY, "curriculum": FOUNDING})

    assert study.curriculum == STAGES
    assert study_from_mapping(study_to_mapping(study)) == study


def test_a_study_without_one_has_none() -> None:
    assert study_from_mapping(STUDY).curriculum == ()
    assert study_to_mapping(study_from_mapping(STUDY))["curriculum"] == []


def test_its_paths_are_meant_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**STUDY, "curriculum": FOUNDING}))

    paths = [stage.path for stage in read_study_file(file).curriculum]

    assert paths == [str(tmp_path / "dictionary.txt"), str(tmp_path / "stories.txt"), ""]


def test_a_trial_carries_it_through_its_json_column() -> None:
    spec = spec_of(STAGES)

    assert trial_spec_from_mapping(trial_spec_to_mapping(spec)) == spec


def test_a_row_from_before_there_were_any_has_none() -> None:
    row = trial_spec_to_mapping(spec_of(()))
    del row["curriculum"]

    assert trial_spec_from_mapping(row) == spec_of(())


def test_a_row_with_a_key_that_no_stage_has_is_refused() -> None:
    row: dict[str, Any] = trial_spec_to_mapping(spec_of(STAGES))
    row["curriculum"][0]["colour"] = "red"

    with pytest.raises(SpecError, match=r"trial\.curriculum\.0\.colour: unknown key"):
        trial_spec_from_mapping(row)


@pytest.mark.parametrize(
    ("curriculum", "message"),
    [
        ({"until": 1.0}, "curriculum: must be a list of stages such as {until: 0.15, path: a.txt}, got {'until': 1.0}"),
        (["a.txt"], "curriculum[0]: must be a mapping, got 'a.txt'"),
        ([{}], "curriculum[0].until: is missing"),
        ([{"until": 1.0, "alpha": 0.5}], "curriculum[0].alpha: unknown key."),
        ([{"until": 1.0, "path": 5}], "curriculum[0].path: must be text, got 5; write it as it was, in quotes: path:"),
        ([{"until": 0.5}], "curriculum[0].until must be 1, as it is the last stage, got 0.5"),
        ([{"until": 0.5}, {"until": 0.5}], "curriculum[1].until must be above 0.5 and at most 1, got 0.5"),
        ([{"until": 0.0}, {"until": 1.0}], "curriculum[0].until must be above 0 and at most 1, got 0.0"),
        ([{"until": 15}, {"until": 100}], "curriculum[0].until must be above 0 and at most 1, got 15.0"),
        ([{"until": float("nan")}], "curriculum[0].until must be above 0 and at most 1, got nan"),
        (
            [{"until": 1.0, "plasticity": 1.5}],
            "curriculum[0].plasticity must be greater than 0 and at most 1, got 1.5",
        ),
        (
            [{"until": 0.5, "plasticity": 0.5}, {"until": 1.0}],
            "curriculum[1].plasticity must be greater than 0, as other stages set one, or left out everywhere",
        ),
    ],
)
def test_a_slip_is_named_by_its_key_and_value(curriculum: object, message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        study_from_mapping({**STUDY, "curriculum": curriculum})

    assert str(refusal.value).startswith(message)
