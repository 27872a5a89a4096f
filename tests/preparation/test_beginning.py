"""train.init_from: what is recorded of the model that trials begin with, and which are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from growlab.data import CharTokenizer
from growlab.errors import CheckpointError, UsageError
from growlab.files import sha256_of
from growlab.headers import write_header
from growlab.inheritance import inherited_in_words
from growlab.kinds import KINDS, complete
from growlab.layout import parse
from growlab.model.language_model import LanguageModel
from growlab.preparation.again import read_again
from growlab.preparation.checking import prepare
from growlab.search import preview
from growlab.study.column import trial_spec_to_mapping
from growlab.study.reading import study_from_mapping
from growlab.yaml_file import yaml_text

TEXT = "the model sees a text and then another one, which is as long as it has to be. " * 40


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., dict]:
    """A study of a text that begins with the model of an exported folder, made here for its layout and alphabet."""
    (tmp_path / "corpus.txt").write_text(TEXT)

    def make(layout: str, alphabet: str, **train: object) -> dict:
        folder = tmp_path / "best"
        folder.mkdir(exist_ok=True)
        whole = complete(parse(layout))
        tokenizer = CharTokenizer.for_text(alphabet)
        model = LanguageModel(whole, vocab_size=tokenizer.vocab_size, max_depth=4, dropout=0.0)
        header = {"layout": str(whole), "vocab_size": tokenizer.vocab_size}
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        save_file(weights, folder / "model.safetensors", write_header(header))
        tokenizer.save(folder / "tokenizer.json")
        return {
            "name": "begun",
            "n_trials": 1,
            "data": {"path": str(tmp_path / "corpus.txt")},
            "layouts": {"d_model": 16, "depth": 2, "blocks": ["conv", "mlp"], "start_with": ["d=16 conv mlp"]},
            "budget": {"steps": 4},
            "train": {"batch_size": 2, "seq_len": 8, "init_from": str(folder), **train},
        }

    return make


def test_the_model_is_recorded_and_what_is_new_is_told(begun: Callable, tmp_path: Path) -> None:
    told: list[str] = []

    study, _ = prepare(study_from_mapping(begun("d=16 conv", TEXT)), [], told.append)

    sha256 = sha256_of(tmp_path / "best" / "model.safetensors")
    assert study.train["init_sha256"].value == sha256
    assert study.train["init_layout"].value == str(complete(parse("d=16 conv")))
    assert f"note: trials begin with the weights of {tmp_path / 'best'} (sha256 {sha256[:12]}…)" in told
    assert "note: d=16 conv mlp: new: block 1 mlp" in told


def test_a_model_that_does_not_fit_the_study_is_refused(begun: Callable, tmp_path: Path) -> None:
    def refused(layout: str, alphabet: str, **train: object) -> None:
        prepare(study_from_mapping(begun(layout, alphabet, **train)), [], print)

    with pytest.raises(UsageError, match=r"layouts.d_model must be 32, the width of the model in .*best, got 16"):
        refused("d=32 conv", TEXT)
    with pytest.raises(UsageError, match=r"\(20 tokens\) is not that of the model in .*best \(2\); train on it"):
        refused("d=16 conv", "ab")
    with pytest.raises(CheckpointError, match=r"is not the model that this trial began with: .*init_sha256="):
        refused("d=16 conv", TEXT, init_sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"nowhere/model.safetensors cannot be read: No such file .*; train.init"):
        refused("d=16 conv", TEXT, init_from=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"train.init_from must be one folder, the same for all trials"):
        refused("d=16 conv", TEXT, init_from=["a", "b"])


def test_a_configuration_goes_on_from_a_folder_on_another_text(begun: Callable, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        study, _ = prepare(study_from_mapping(begun("d=16 conv mlp", TEXT)), [], print)
    [proposal] = preview(study, KINDS, lambda layout: 0, n=1)
    config = {"study": "begun", "trial": 0, "trial_spec": trial_spec_to_mapping(proposal.spec)}
    (tmp_path / "best" / "config.yaml").write_text(yaml_text(config))
    (tmp_path / "other.txt").write_text("another text has the same letters and is as long as it has to be. " * 40)

    _, spec = read_again(
        tmp_path / "best",
        [],
        "8",
        name="",
        storage=f"sqlite:///{tmp_path / 'growlab.db'}",
        plugins=[],
        tell=print,
        begin_from=tmp_path / "best",
        text=tmp_path / "other.txt",
    )

    assert (spec.data.tokenizer, spec.data.tokenizer_path) == ("file", str(tmp_path / "best" / "tokenizer.json"))
    assert spec.data.path == str(tmp_path / "other.txt")
    assert spec.train.init_from == str(tmp_path / "best")
    assert len(spec.train.init_sha256) == 64
    assert spec.budget.amount == 8


@pytest.mark.parametrize(
    ("layout", "source", "words"),
    [
        ("d=16 attn mlp", "d=16 attn mlp", "nothing is new"),
        ("d=16 (attn mlp)x2", "d=16 attn mlp", "new: block 2 attn, block 3 mlp"),
        ("d=16 attn conv mlp", "d=16 attn mlp", "new: block 1 conv"),
        ("d=16 attn", "d=16 attn mlp head=hebbian_head", "nothing is new; left behind: block 1 mlp, head hebbian_head"),
        ("d=16 conv", "d=16 attn", "new: block 0 conv; left behind: block 0 attn"),
    ],
)
def test_what_is_new_is_named_from_the_layouts_alone(layout: str, source: str, words: str) -> None:
    assert inherited_in_words(complete(parse(layout)), complete(parse(source))) == words
