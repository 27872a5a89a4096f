"""A bundle holds everything of one trial, is whole or absent, and is made only from files as they were recorded."""

import csv
import subprocess
import sys

import numpy
import pytest
import yaml
from safetensors.numpy import save_file

import growlab
from growlab.errors import CheckpointError, NotFound, UsageError
from growlab.export.bundle import _model_header, export_trial
from growlab.export.folder import copy_verified
from growlab.export.targets import export_front
from growlab.files import sha256_of
from growlab.kinds import complete
from growlab.layout import parse
from growlab.study.column import trial_spec_from_mapping


def config_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def best_of(lab):
    return min(lab.store.trials(lab.study_row.id)[:2], key=lambda trial: trial.val_loss)


def artifact_of(lab, kind):
    [path] = [each.path for each in lab.store.artifacts(best_of(lab).id) if each.kind == kind]
    return lab.artifacts / path


def test_a_bundle_is_three_files_with_their_sums_and_a_card(exported):
    names = {"model.safetensors", "tokenizer.json", "metrics.csv"}

    assert {path.name for path in exported.iterdir()} == names | {"config.yaml", "README.md"}
    assert config_of(exported)["files"] == {name: sha256_of(exported / name) for name in names}


def test_its_config_says_what_the_trial_was_and_what_came_out(lab, exported):
    config, trial = config_of(exported), best_of(lab)

    assert (config["growlab"], config["study"], config["trial"]) == (growlab.__version__, "tiny", trial.number)
    assert config["layout"] == str(complete(parse(trial.layout_end)))
    assert config["result"] == {
        "val_loss": trial.val_loss,
        "best_val_loss": trial.best_val_loss,
        "bits_per_byte": trial.bits_per_byte,
        "flops": trial.flops,
        "tokens": trial.tokens,
        "steps": 24,
        "n_params": trial.n_params,
        "depth": 4,
    }
    assert [(event["step"], event["depth_before"], event["depth_after"]) for event in config["growth_events"]] == [
        (12, 2, 4)
    ]


def test_its_config_holds_all_that_runs_the_trial_again(lab, exported):
    assert trial_spec_from_mapping(config_of(exported)["trial_spec"]) == best_of(lab).spec


def test_its_metrics_are_the_recorded_ones_digit_for_digit(lab, exported):
    with (exported / "metrics.csv").open(newline="") as file:
        rows = [(int(row["step"]), row["split"], row["name"], float(row["value"])) for row in csv.DictReader(file)]

    recorded = lab.store.metrics(best_of(lab).id)
    assert rows == [(each.step, each.split, each.name, each.value) for each in recorded]
    at_evaluations = [name for _, split, name, _ in rows if split == "val"]
    assert sorted(at_evaluations) == ["bits_per_byte"] * 4 + ["loss"] * 4
    assert sum(name == "pause_s" for _, _, name, _ in rows) == 2  # of a growth and its thaw


def test_without_a_number_the_best_trial_is_taken_and_with_one_that_one(lab, exported, tmp_path):
    other = 1 - best_of(lab).number

    named = export_trial(lab.store, lab.study_row, other, lab.artifacts, tmp_path / "named")

    assert config_of(exported)["trial"] == best_of(lab).number
    assert config_of(named)["trial"] == other


@pytest.mark.parametrize("kind", ["model", "tokenizer"])
def test_a_damaged_artifact_is_noticed_and_nothing_is_left(lab, tmp_path, kind):
    path = artifact_of(lab, kind)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=rf"{path.name} is damaged: its sha256 is not the recorded"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "out" / "bundle")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("kind", ["model", "tokenizer"])
def test_a_missing_artifact_is_an_error_that_says_where_to_look(lab, tmp_path, kind):
    path = artifact_of(lab, kind)
    path.unlink()

    with pytest.raises(CheckpointError, match=rf"{path.name} is missing; give the artifact folder of the worker"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "out" / "bundle")

    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(lab, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match=r"mine is there already; give another folder, or remove it first"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "mine")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_not_touched(lab, tmp_path):
    (tmp_path / "mine").write_text("years of work")

    with pytest.raises(UsageError, match="is there already"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "mine")

    assert (tmp_path / "mine").read_text() == "years of work"


def test_an_empty_folder_is_taken(lab, tmp_path):
    (tmp_path / "new").mkdir()

    export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "new")

    assert (tmp_path / "new" / "config.yaml").exists()


def test_a_trial_that_is_not_completed_cannot_be_exported(lab, tmp_path):
    with pytest.raises(UsageError, match=r"^trial 2 is queued, and only a completed trial has a model to export$"):
        export_trial(lab.store, lab.study_row, 2, lab.artifacts, tmp_path / "bundle")


def test_a_trial_that_is_not_there_cannot_be_exported(lab, tmp_path):
    with pytest.raises(NotFound, match="no trial 9; the study has trials 0 to 2"):
        export_trial(lab.store, lab.study_row, 9, lab.artifacts, tmp_path / "bundle")


def test_a_study_without_a_completed_trial_has_nothing_to_export(lab, empty_study, tmp_path):
    with pytest.raises(
        NotFound, match=r"study 'empty' has no completed trial yet \(1 queued\); run: growlab worker empty"
    ):
        export_trial(lab.store, empty_study, None, lab.artifacts, tmp_path / "bundle")


def test_a_study_that_is_done_without_a_completed_trial_sends_for_no_worker(lab, leaky_study, tmp_path):
    with pytest.raises(
        NotFound,
        match=r"^study 'leaky' is done, and none of its trials completed \(1 leak\); see why: growlab report leaky .*",
    ):
        export_trial(lab.store, leaky_study, None, lab.artifacts, tmp_path / "bundle")


EXPORT = """
import sys
from pathlib import Path
from growlab.export.bundle import _model_header, export_trial
from growlab.export.folder import copy_verified
from growlab.export.targets import export_front
from growlab.export.configs import best_configs
from growlab.storage import Store
url, artifacts, target = sys.argv[1:]
store = Store.open(url)
export_trial(store, store.study("tiny"), None, Path(artifacts), Path(target))
print("torch" in sys.modules)
"""


def test_exporting_loads_no_torch(lab, tmp_path):
    arguments = [lab.store.url, str(lab.artifacts), str(tmp_path / "bundle")]
    done = subprocess.run([sys.executable, "-c", EXPORT, *arguments], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize("header", ["[]", "{", '{"layout": "d=8 mlp"}', '{"layout": 3, "vocab_size": 3}'])
def test_a_model_whose_header_is_wrong_is_refused_by_name(tmp_path, header):
    save_file({"x": numpy.zeros(1)}, tmp_path / "model.safetensors", {"growlab": header})

    with pytest.raises(CheckpointError, match=r"model\.safetensors is no .*: its header "):
        _model_header(tmp_path / "model.safetensors")


def test_a_device_is_not_copied_to_its_end(tmp_path):
    (tmp_path / "zero").symlink_to("/dev/zero")

    with pytest.raises(CheckpointError, match="zero cannot be read: it is a pipe or a device, not a regular file"):
        copy_verified(tmp_path / "zero", tmp_path / "copy", "0" * 64)

    assert not (tmp_path / "copy").exists()


def test_a_front_is_a_folder_for_each_of_its_trials_or_nothing(lab, tmp_path):
    folders = export_front(lab.store, lab.study_row, [1, 0], lab.artifacts, tmp_path / "front")

    assert [folder.name for folder in folders] == ["trial-1", "trial-0"]
    assert [config_of(folder)["trial"] for folder in folders] == [1, 0]
    with pytest.raises(UsageError, match="front is there already"):
        export_front(lab.store, lab.study_row, [0], lab.artifacts, tmp_path / "front")
    with pytest.raises(UsageError, match="trial 2 is queued, and only a completed trial has a model"):
        export_front(lab.store, lab.study_row, [0, 2], lab.artifacts, tmp_path / "other")
    assert not (tmp_path / "other").exists()
