"""The data section of a study file and of a stored row: its newer keys, at the two doors."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from growlab.errors import SpecError
from growlab.scalar import with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.column import study_to_mapping, trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.file import read_study_file
from growlab.study.growth_section import growth_with
from growlab.study.reading import study_from_mapping

STUDY = {
    "name": "s",
    "n_trials": 1,
    "layouts": {"blocks": ["attn"], "d_model": 8, "depth": [1, 2]},
    "budget": {"steps": 1},
}


def written(folder: Path, data: object) -> Path:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump({**STUDY, "data": data}))
    return file


def test_a_study_of_the_first_days_means_what_it_meant() -> None:
    old = {"source": "text", "path": "/a.txt", "tokenizer": "char", "val_fraction": 0.05, "test_fraction": 0.1}

    data = study_from_mapping({**STUDY, "data": {**old, "sha256": "ab"}}).data

    assert data == with_defaults(DataSpec, path="/a.txt", sha256="ab", dtype="uint16")
    assert data == DataSpec(
        **old,
        sha256="ab",
        column="text",
        vocab_size=0,
        tokenizer_path="",
        tokenizer_sha256="",
        n_items=0,
        dtype="uint16",
        train_on_val=False,
        val_path="",
        val_sha256="",
        skip_nulls=False,
        question="question",
        answer="answer",
        messages="",
    )


def test_a_row_of_the_first_days_means_what_it_meant(old_row: dict[str, Any]) -> None:
    spec = trial_spec_from_mapping(old_row)

    assert spec.data == with_defaults(DataSpec, path="/a.txt", sha256="ab", dtype="uint16")
    assert set(trial_spec_to_mapping(spec)["data"]) == {each.name for each in fields(DataSpec)}


@pytest.fixture
def old_row() -> dict[str, Any]:
    """A stored TrialSpec without the newer keys of its data."""
    row = trial_spec_to_mapping(
        TrialSpec(
            layout="d=8 attn[n_heads=2] mlp",
            data=with_defaults(DataSpec, path="/a.txt", sha256="ab"),
            train=with_defaults(TrainSpec),
            growth=growth_with(),
            budget=BudgetSpec(unit="steps", amount=1),
            curriculum=(),
            seed=0,
        )
    )
    first = ("source", "path", "tokenizer", "val_fraction", "test_fraction", "sha256")
    return row | {"data": {name: row["data"][name] for name in first}}


def test_every_key_of_a_spec_is_in_a_study_and_is_written_out() -> None:
    study = study_from_mapping({**STUDY, "data": {}})

    assert set(study_to_mapping(study)["data"]) == {each.name for each in fields(DataSpec)}


def test_paths_are_meant_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, {"path": "a.txt", "tokenizer": "file", "tokenizer_path": "tokens/tokenizer.json"})

    data = read_study_file(file).data

    assert data.path == str(tmp_path / "a.txt")
    assert data.tokenizer_path == str(tmp_path / "tokens" / "tokenizer.json")


def test_paths_that_are_said_on_the_command_line_are_meant_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = written(tmp_path, {"tokenizer": "file"})

    data = read_study_file(file, ["data.path=a.txt", "data.tokenizer_path=b.json"]).data

    assert data.path == str(tmp_path / "here" / "a.txt")
    assert data.tokenizer_path == str(tmp_path / "here" / "b.json")


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = written(tmp_path, {"path": "~/a.txt", "tokenizer": "file", "tokenizer_path": "~/b.json"})

    for overrides in ([], ["data.path=~/a.txt", "data.tokenizer_path=~/b.json"]):
        data = read_study_file(file, overrides).data
        assert data.path == str(tmp_path / "home" / "a.txt")
        assert data.tokenizer_path == str(tmp_path / "home" / "b.json")


@pytest.mark.parametrize(
    "data", [{"source": "hf:owner/name:config@main"}, {"source": "hf", "path": "owner/name:config@main"}]
)
def test_a_name_at_the_hub_is_no_path(tmp_path: Path, data: dict[str, str]) -> None:
    found = read_study_file(written(tmp_path, data)).data

    assert (found.source, found.path) == ("hf", "owner/name:config@main")


def test_a_name_at_the_hub_may_be_said_on_the_command_line(tmp_path: Path) -> None:
    file = written(tmp_path, {"source": "text"})

    said = ["data.source=hf", "data.path=owner/name"]
    for overrides in (["data.source=hf:owner/name"], said, said[::-1]):
        found = read_study_file(file, overrides).data
        assert (found.source, found.path) == ("hf", "owner/name")


def test_a_path_can_be_taken_back_on_the_command_line(tmp_path: Path) -> None:
    file = written(tmp_path, {"path": "a.txt"})

    assert read_study_file(file, ["data.path="]).data.path == ""
    assert read_study_file(file, ["data.path=", "data.source=hf:owner/name"]).data.path == "owner/name"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "hf:a/b", "path": "c"}, r"data\.path: is already said in data\.source 'hf:a/b', got 'c'"),
        ({"tokenizer": "word"}, r"data\.tokenizer must be char, byte, bpe, file or ids, got 'word'"),
        ({"tokenizer": "bpe"}, r"data\.vocab_size must be at least 256 for data\.tokenizer bpe, got 0"),
        ({"tokenizer": "ids", "vocab_size": 1}, r"data\.vocab_size must be at least 2 for data\.tokenizer ids, got 1"),
        ({"vocab_size": 300}, r"data\.vocab_size must be 0 unless data\.tokenizer is bpe or ids, got 300"),
        ({"tokenizer": "file"}, r"data\.tokenizer_path must be the path of a tokenizer\.json, got ''"),
        ({"tokenizer_path": "x"}, r"data\.tokenizer_path must be empty unless data\.tokenizer is file, got 'x'"),
        ({"column": ""}, r"data\.column must be the name of a column, got ''"),
        ({"n_items": -1}, r"data\.n_items must be at least 0, got -1"),
        ({"dtype": "int8"}, r"data\.dtype must be auto, uint16 or uint32, got 'int8'"),
        ({"vocabsize": 1}, r"data\.vocabsize: unknown key\. Did you mean 'vocab_size'"),
        ({"source": 3}, r'data\.source: must be text, got 3; write it as it was, in quotes: source: "3"'),
    ],
)
def test_a_slip_is_named_with_its_key(tmp_path: Path, data: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_study_file(written(tmp_path, data))
