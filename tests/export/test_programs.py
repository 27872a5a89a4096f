"""A trial as one program: the logits of the trained model for any batch and length, without growlab; or refused."""

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from growlab.blocks.base import Mixer
from growlab.commands import app
from growlab.errors import CheckpointError, NotExportable
from growlab.export.agreement import TOLERANCE
from growlab.export.programs import checking
from growlab.export.programs.formats import FORMATS, Format
from growlab.export.programs.recording import write_program
from growlab.export.programs.survey import CASES, survey
from growlab.kinds import KINDS, Cost, register_block
from growlab.layout import parse, walk
from growlab.model.language_model import LanguageModel, build_model

PT2, ONNX = FORMATS["torch-export"], FORMATS["onnx"]


def model_of(layout: str) -> LanguageModel:
    """A model whose weights are twice their initial size: those would agree with anything."""
    model = build_model(parse(layout), vocab_size=256, max_depth=4, dropout=0.0, seed=0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    def check(self, d_model: int) -> None:
        pass


class Shy(Mixer):
    """Adds nothing to a text that says too little."""

    def __init__(self, d_model: int, options: object) -> None:
        super().__init__(d_model, options)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        mixed: Tensor = self.out_proj(x_BTD)
        return mixed if mixed.sum() > 0 else torch.zeros_like(x_BTD)


@pytest.fixture
def shy() -> Iterator[str]:
    """A kind from outside whose data decide what is computed."""

    def cost(d_model: int, options: object, seq_len: int) -> Cost:
        return Cost(n_params=d_model**2, matmul_flops=0, other_flops=0, activations=0, state_size=0)

    before = dict(KINDS)
    register_block("shy", role="channel", summary="", options=NoOptions, cost=cost)(Shy)
    yield "shy"
    KINDS.reset(before)


def test_a_hybrid_is_a_program_for_any_batch_and_length_and_of_its_weights_alone(tmp_path: Path) -> None:
    model = model_of("d=16 attn mlp")

    write_program(model, PT2, tmp_path / PT2.file)

    assert checking.require_equal(tmp_path / PT2.file, PT2, model) <= TOLERANCE
    run = PT2.load(tmp_path / PT2.file)
    assert run(torch.zeros(4, 77, dtype=torch.int64)).shape == (4, 77, 256)
    with torch.no_grad():
        model.embedding.weight[7] += 0.01
    with pytest.raises(CheckpointError, match=r"reads 1 text\(s\) of 1 token\(s\) otherwise .* nothing was written"):
        checking.require_equal(tmp_path / PT2.file, PT2, model)


def test_a_kind_that_cannot_be_recorded_is_named_with_what_to_do(shy: str, tmp_path: Path) -> None:
    model = model_of("d=16 loop(router(shy) mlp)")

    with pytest.raises(
        NotExportable, match=r"--to torch-export cannot hold block kind 'shy', .* Export it with --to hf"
    ):
        write_program(model, PT2, tmp_path / PT2.file)

    assert list(tmp_path.iterdir()) == []


def test_the_cases_of_the_survey_are_of_every_kind() -> None:
    layouts = [parse(f"d=16 {layout}") for layout in CASES]

    named = {spec.kind for layout in layouts for block in (*layout.blocks, *_parts(layout)) for spec in walk(block)}

    assert named == set(KINDS), "a new kind belongs into CASES"


def _parts(layout: Any) -> list[Any]:
    return [part for part in (layout.front, layout.head) if part]


@pytest.mark.slow  # minutes: each kind by itself, twice
def test_every_kind_is_a_program_in_every_format_as_the_documents_say(repository: Path) -> None:
    pytest.importorskip("onnxruntime")
    documented = (repository / "docs" / "export.md").read_text()

    rows = list(survey())

    assert [row.layout for row in rows] == list(CASES)
    for row in rows:
        assert all(off <= TOLERANCE for off in row.off.values()), row
        assert f"| `{row.layout}` | ok" in documented


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS.values(), ids=list(FORMATS))
def test_a_trial_is_a_folder_whose_card_runs_as_it_stands_without_growlab(
    format: Format, lab: Any, tmp_path: Path
) -> None:
    if format is ONNX:
        pytest.importorskip("onnxruntime")
    options = ("--storage", lab.store.url, "--artifacts", str(lab.artifacts))
    done = CliRunner().invoke(app, ["export", "tiny", str(tmp_path / "best"), "--to", format.word, *options])
    assert done.exit_code == 0, done.exception
    card = (tmp_path / "best" / "README.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    packages = [path for path in sys.path if "site" in Path(path).name]
    begin = f"import json, sys; sys.path += {[*packages, sysconfig.get_path('purelib')]!r}\n"
    code = f"{begin}{example}\nprint(json.dumps(['growlab' in sys.modules, len(ids), len(tokenizer.decode(ids))]))"

    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path / "best", capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [False, 112, 112]  # of characters
    assert {path.name for path in (tmp_path / "best").iterdir()} == {
        *(format.file, "tokenizer.json", "config.yaml", "metrics.csv", "README.md")
    }


@pytest.mark.slow
def test_a_refused_trial_leaves_no_folder_and_exits_with_1(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotExportable("no")

    monkeypatch.setattr("growlab.export.programs.trial_folder.write_program", refuse)
    options = ("--storage", lab.store.url, "--artifacts", str(lab.artifacts))

    done = CliRunner().invoke(app, ["export", "tiny", str(tmp_path / "best"), "--to", "torch-export", *options])

    assert isinstance(done.exception, NotExportable)
    assert done.exception.exit_code == 1
    assert list(tmp_path.glob("*best*")) == []
