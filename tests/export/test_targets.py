"""Where an export goes to and for whom: what is asked for is known, what it needs is there, what lies there stays."""

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from growlab.commands import app
from growlab.errors import CheckpointError, NotFound, UnknownName, UsageError
from growlab.export import targets
from growlab.export.bundle import export_trial
from growlab.export.targets import exporter


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("to", "package", "extra"),
    [
        ("hf", "transformers", "hf"),
        ("onnx", "onnx", "onnx"),
        ("onnx", "onnxruntime", "onnx"),
        ("torch-export", "tokenizers", "data"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    to: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {package: None}
    monkeypatch.setattr(targets, "find_spec", lambda name: found.get(name, name))

    with pytest.raises(UsageError, match=rf"--to {to} needs the package '{package}'; run: pip install .*\[{extra}\]"):
        exporter(to)


def test_an_unknown_target_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown target of an export 'gguf'; known: growlab, hf, onnx, torch-export"
    ):
        exporter("gguf")


def test_what_cannot_be_exported_is_said_before_transformers_is_loaded(
    lab: Any, empty_study: Any, leaky_study: Any, tmp_path: Path
) -> None:
    loaded = "transformers" in sys.modules
    export = exporter("hf")

    with pytest.raises(NotFound, match="has no completed trial yet"):
        export(lab.store, empty_study, None, lab.artifacts, tmp_path / "out")
    with pytest.raises(NotFound, match="none of its trials completed"):
        export(lab.store, leaky_study, None, lab.artifacts, tmp_path / "out")
    with pytest.raises(UsageError, match="trial 2 is queued, and only a completed trial has a model to export"):
        export(lab.store, lab.study_row, 2, lab.artifacts, tmp_path / "out")
    with pytest.raises(NotFound, match="trial 7"):
        export(lab.store, lab.study_row, 7, lab.artifacts, tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="file is there already"):
        export(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "file")
    assert ("transformers" in sys.modules) == loaded
    assert not (tmp_path / "out").exists()


def test_an_earlier_export_is_replaced_by_force_alone(lab: Any, exported: Path) -> None:
    (exported / "notes.txt").write_text("about this export")
    with pytest.raises(UsageError, match=r"is there already, an earlier export; .* replace it with --force"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, exported)
    before = files_of(exported)

    export_trial(lab.store, lab.study_row, None, lab.artifacts, exported, force=True)

    assert files_of(exported) == {name: content for name, content in before.items() if name != "notes.txt"}
    assert [path.name for path in exported.parent.iterdir() if path.name.startswith(".")] == []


def test_force_leaves_alone_what_growlab_did_not_write(lab: Any, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "link").symlink_to(exported)

    for name in ("mine", "link"):
        with pytest.raises(UsageError, match=rf"{name} is no export of growlab, so --force leaves it alone"):
            export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / name, force=True)

    assert files_of(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_an_export_that_fails_leaves_the_earlier_one(lab: Any, exported: Path) -> None:
    before = files_of(exported)
    for path in lab.artifacts.rglob("*.safetensors"):
        path.unlink()

    with pytest.raises(CheckpointError, match="is missing"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, exported, force=True)

    assert files_of(exported) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["best", "-o", "again"], "say where to once: best or -o again"),
        (["best", "--to", "gguf"], "unknown target of an export 'gguf'; known: growlab, hf, onnx, torch-export."),
        (["--to", "hf"], "say where to: -o DIR for config and weights"),
        (["--pareto", "front", "best"], "--pareto exports the whole front; leave FOLDER, --output, --trial"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_words(lab: Any, words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["export", "tiny", "--storage", lab.store.url, *words])

    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith(said)


def test_a_place_on_the_command_line_is_the_one_of_output(lab: Any, tmp_path: Path) -> None:
    options = ["--storage", lab.store.url, "--artifacts", str(lab.artifacts)]
    told = [
        CliRunner().invoke(app, ["export", "tiny", str(tmp_path / "best"), *more, *options])
        for more in ([], [], ["--force"])
    ]

    assert [done.exit_code for done in told] == [0, 1, 0]
    assert "replace it with --force" in str(told[1].exception)
    assert (tmp_path / "best" / "README.md").is_file()
