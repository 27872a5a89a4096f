"""A trial that begins with the weights of another: which it takes, and that it needs their folder no more later."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growlab.data.corpus import Corpus
from growlab.errors import CheckpointError
from growlab.kinds import complete
from growlab.layout import parse
from growlab.specs import TrialSpec
from growlab.training.beginning import first_run
from growlab.training.checkpoint import read_tensors
from growlab.training.run import fresh_run

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(
    make_spec: MakeSpec, new_trial: Callable[[TrialSpec], Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """What a spec says of a model that was trained, and grew: its folder, hash and layout."""
    trial = new_trial(make_spec(steps=20))
    result = trial.attempt()
    folder = tmp_path_factory.mktemp("best")
    [model] = [each for each in trial.recorder.artifacts if each.kind == "model"]
    shutil.copy(trial.root / model.path, folder / "model.safetensors")
    return {
        "init_from": str(folder),
        "init_sha256": model.sha256,
        "init_layout": str(complete(parse(result.layout_end))),
    }


def weights(folder: str, sha256: str) -> dict[str, Tensor]:
    return read_tensors(Path(folder) / "model.safetensors", sha256)[0]


def test_an_equal_layout_begins_with_every_weight(make_spec: MakeSpec, corpus: Corpus, source: dict[str, str]) -> None:
    run = first_run(make_spec(layout=source["init_layout"], **source), corpus, CPU)

    taken = weights(source["init_from"], source["init_sha256"])
    assert dict.fromkeys(taken, True) == {
        name: torch.equal(parameter, taken[name]) for name, parameter in run.model.named_parameters()
    }


def test_what_the_source_has_not_begins_as_the_seed_draws_it(
    make_spec: MakeSpec, corpus: Corpus, source: dict[str, str]
) -> None:
    layout = "d=16 attn[n_heads=2] mlp conv mlp attn[n_heads=2] mlp"  # the source is (attn mlp)x2
    begun = dict(first_run(make_spec(layout=layout, **source), corpus, CPU).model.named_parameters())
    drawn = dict(fresh_run(make_spec(layout=layout), corpus, CPU).model.named_parameters())

    taken = weights(source["init_from"], source["init_sha256"])
    for name, parameter in begun.items():
        unit = name.partition("units.")[2].partition(".")[0]
        old = {"": name, "0": name, "2": name.replace("units.2", "units.1")}.get(unit)
        assert torch.equal(parameter, drawn[name] if old is None else taken[old]), name


def test_a_killed_trial_goes_on_to_the_same_bits_without_the_folder(
    make_spec: MakeSpec,
    new_trial: Callable[[TrialSpec], Any],
    source: dict[str, str],
    tmp_path: Path,
    killed: type[Exception],
) -> None:
    folder = Path(shutil.copytree(source["init_from"], tmp_path / "best"))
    spec = make_spec(steps=12, dropout=0.1, **{**source, "init_from": str(folder)})
    whole, interrupted = new_trial(spec), new_trial(spec)
    whole.attempt()
    with pytest.raises(killed):
        interrupted.attempt(die_at=7, checkpoint_every_s=0)
    shutil.rmtree(folder)

    interrupted.attempt()

    models = [
        next(artifact.sha256 for artifact in trial.recorder.artifacts if artifact.kind == "model")
        for trial in (whole, interrupted)
    ]
    assert models[0] == models[1]
    assert interrupted.recorder.timeless == whole.recorder.timeless
    assert interrupted.recorder.beginnings == [0, 7]


def test_at_its_first_step_a_trial_needs_the_recorded_model(
    make_spec: MakeSpec, corpus: Corpus, source: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"is missing; this trial begins with it \(train.init_from\): bring"):
        first_run(make_spec(**{**source, "init_from": str(tmp_path)}), corpus, CPU)
    with pytest.raises(CheckpointError, match="its sha256 is not the recorded"):
        first_run(make_spec(**{**source, "init_sha256": "0" * 64}), corpus, CPU)
