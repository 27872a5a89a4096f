from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from growlab.blocks.conv import GatedConv
from growlab.blocks.moe import Moe
from growlab.model.language_model import LanguageModel
from growlab.records import TrialState
from growlab.training.leak import TOLERANCE, leak
from growlab.training.run import fresh_run

CPU = torch.device("cpu")
TIED = [
    "d=16 (ssm[start=real] moe[n_experts=4,top_k=1])x2",
    "d=16 (attn[gate=true,n_heads=2] moe[n_experts=4,balancing=bias,top_k=1])x2",
]


def tie_experts(model: LanguageModel) -> None:
    """Let every router like its experts all but equally: their rows differ by what rounding is. Experts say more."""
    for moe in (module for module in model.modules() if isinstance(module, Moe)):
        nudges_N = 1 + 1e-7 * torch.arange(4)
        moe.router.weight.data = moe.router.weight.data[:1] * nudges_N[:, None]
        moe.experts.out_proj.weight.data *= 10


@torch.no_grad()
def change_in_fp32(model: LanguageModel, corpus: Any) -> float:
    """The largest change of a log probability when 64 windows of 64 tokens are cut."""
    ids_BT = torch.as_tensor(corpus.train[: 64 * 64].astype("int64")).view(64, 64)
    whole_BTV = model(ids_BT).log_softmax(-1)
    return max(float((model(ids_BT[:, :t]).log_softmax(-1) - whole_BTV[:, :t]).abs().max()) for t in (16, 32, 33, 48))


def sees_ahead_after_some_tokens(x_BTD: Tensor) -> Tensor:
    """Show a token the next one where its first feature is large: a sixth of them."""
    next_BTD = F.pad(x_BTD[:, 1:], (0, 0, 0, 1))
    return torch.where(x_BTD[..., :1] > 1.0, next_BTD, 0.0)


def sees_ahead_at_the_end_of_chunks(x_BTD: Tensor) -> Tensor:
    """Show the last token of each chunk of 16 the first one of the next chunk."""
    next_BTD = F.pad(x_BTD[:, 1:], (0, 0, 0, 1))
    at_end_T1 = torch.arange(x_BTD.shape[1])[:, None] % 16 == 15
    return torch.where(at_end_T1, next_BTD, 0.0)


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


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The looks of the alarm, each by the number of parameters that the model has then."""
    n_params: list[int] = []

    def look(model: LanguageModel, *_: object) -> float:
        n_params.append(sum(parameter.numel() for parameter in model.parameters()))
        return 0.0

    monkeypatch.setattr("growlab.training.trial.leak", look)
    return n_params


@pytest.mark.parametrize(("n_evaluations", "n_looks"), [(1, 1), (2, 2), (9, 2), (10, 2), (11, 3), (20, 3), (25, 4)])
def test_the_alarm_looks_at_the_first_evaluation_at_every_tenth_and_at_the_last(
    make_spec: Callable, new_trial: Callable, looks: list[int], n_evaluations: int, n_looks: int
) -> None:
    new_trial(make_spec(layout="d=16 mlp", trigger="never", steps=2 * n_evaluations, eval_every=2)).attempt()

    assert len(looks) == n_looks


def test_the_alarm_looks_at_every_layout_that_a_trial_grows_into(
    make_spec: Callable, new_trial: Callable, looks: list[int]
) -> None:
    trial = new_trial(make_spec())
    trial.attempt()

    assert len(trial.recorder.growths) == 2
    assert len(set(looks)) == 3  # the layout at first, and after each growth


def test_a_leak_that_shows_late_ends_the_trial_all_the_same(
    make_spec: Callable, new_trial: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = new_trial(make_spec(layout="d=16 mlp", trigger="never", steps=50, eval_every=2))
    found = iter([0.0, 0.0, 1.0])
    monkeypatch.setattr("growlab.training.trial.leak", lambda *_: next(found))

    result = trial.attempt()

    assert (result.state, result.steps) == (TrialState.LEAK, 40)  # at the twentieth evaluation
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


@pytest.mark.parametrize("layout", TIED)
def test_experts_that_are_all_but_tied_set_off_no_alarm(make_spec: Callable, corpus: Any, layout: str) -> None:
    run = fresh_run(make_spec(layout=layout, seq_len=64), corpus, CPU)
    tie_experts(run.model)

    assert change_in_fp32(run.model, corpus) > TOLERANCE  # rounding chose other experts
    assert leak(run.model, corpus.train, 64, CPU) < TOLERANCE / 1000


@pytest.mark.parametrize("ahead", [sees_ahead_after_some_tokens, sees_ahead_at_the_end_of_chunks])
@pytest.mark.parametrize("tied", [False, True])
def test_a_leak_that_is_seldom_is_heard_beside_experts_that_are_all_but_tied(
    make_spec: Callable, corpus: Any, monkeypatch: pytest.MonkeyPatch, ahead: Callable, tied: bool
) -> None:
    honest = GatedConv.forward
    run = fresh_run(make_spec(layout="d=16 conv ssm moe[n_experts=4,top_k=1]", seq_len=64), corpus, CPU)
    if tied:
        tie_experts(run.model)
    assert leak(run.model, corpus.train, 64, CPU) < TOLERANCE / 100

    monkeypatch.setattr(GatedConv, "forward", lambda self, x_BTD: honest(self, x_BTD) + ahead(x_BTD))

    assert leak(run.model, corpus.train, 64, CPU) > TOLERANCE


@pytest.mark.parametrize("alarmed", [False, True])
def test_the_alarm_leaves_weights_random_numbers_and_mode_as_they_were(
    make_spec: Callable, corpus: Any, alarmed: bool
) -> None:
    run = fresh_run(make_spec(layout=TIED[0], seq_len=64, dropout=0.5), corpus, CPU)
    if alarmed:
        tie_experts(run.model)
    before = {name: (tensor, tensor.clone()) for name, tensor in run.model.state_dict(keep_vars=True).items()}
    random = torch.get_rng_state()

    leak(run.model, corpus.train, 64, CPU)

    after = run.model.state_dict(keep_vars=True)
    assert all(after[name] is tensor and torch.equal(tensor, copy) for name, (tensor, copy) in before.items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(module.training for module in run.model.modules())


def test_without_an_alarm_no_model_is_copied(make_spec: Callable, corpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fresh_run(make_spec(layout=TIED[0], seq_len=64), corpus, CPU)
    copied: list[object] = []
    monkeypatch.setattr("copy.deepcopy", copied.append)

    leak(run.model, corpus.train, 64, CPU)

    assert copied == []


def test_a_leak_of_a_kind_that_cannot_compute_in_float64_is_heard_as_it_is(
    make_spec: Callable, corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: GatedConv, x_BTD: Tensor) -> Tensor:
        return F.linear(x_BTD.float().mean(1, keepdim=True).expand_as(x_BTD), self.out_proj.weight)

    run = fresh_run(make_spec(layout="d=16 conv mlp", seq_len=64), corpus, CPU)
    monkeypatch.setattr(GatedConv, "forward", forward)

    assert leak(run.model, corpus.train, 64, CPU) > TOLERANCE
