from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from growlab.blocks.conv import GatedConv
from growlab.records import TrialState
from growlab.training.leak import TOLERANCE, leak
from growlab.training.run import fresh_run

CPU = torch.device("cpu")


@pytest.fixture
def sees_one_token_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant the fault of the founding project: a filter that is padded on both sides."""

    def forward(self: GatedConv, x_BTD: Tensor) -> Tensor:
        value_BDT, gate_BTD = self._value_and_gate(x_BTD)
        return self._filter(F.pad(value_BDT, (self.past - 1, 1)), gate_BTD)

    monkeypatch.setattr(GatedConv, "forward", forward)


def test_a_causal_model_sets_off_no_alarm(make_spec: Callable, corpus: Any) -> None:
    run = fresh_run(make_spec(layout="d=16 attn[n_heads=2] mlp conv mlp"), corpus, CPU)

    assert leak(run.model, corpus.val, 16, CPU) < TOLERANCE / 100
    assert run.model.training


@pytest.mark.usefixtures("sees_one_token_ahead")
def test_a_leak_of_one_token_ends_the_trial(make_spec: Callable, new_trial: Callable) -> None:
    trial = new_trial(make_spec(layout="d=16 conv mlp"))

    result = trial.attempt()

    assert result.state is TrialState.LEAK
    assert result.steps == 5  # the first evaluation
    assert "sees tokens that it should predict" in result.error
    assert trial.recorder.artifacts == []


@pytest.mark.parametrize("chunk", [2, 3, 4, 8, 16])
def test_a_leak_inside_chunks_is_heard_wherever_their_borders_lie(
    make_spec: Callable, corpus: Any, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """A mask that was forgotten inside chunks: with 64 tokens, borders at every quarter."""
    honest = GatedConv.forward

    def forward(self: GatedConv, x_BTD: Tensor) -> Tensor:
        means = [part.mean(1, keepdim=True).expand_as(part) for part in x_BTD.split(chunk, dim=1)]
        return honest(self, x_BTD) + torch.cat(means, dim=1)

    run = fresh_run(make_spec(layout="d=16 conv mlp", seq_len=64), corpus, CPU)
    assert leak(run.model, corpus.val, 64, CPU) < TOLERANCE / 100

    monkeypatch.setattr(GatedConv, "forward", forward)

    assert leak(run.model, corpus.val, 64, CPU) > TOLERANCE


def test_a_window_of_one_token_cannot_be_cut_and_says_nothing(make_spec: Callable, corpus: Any) -> None:
    run = fresh_run(make_spec(seq_len=1), corpus, CPU)

    assert leak(run.model, corpus.val, 1, CPU) == 0.0
