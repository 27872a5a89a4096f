"""The text at the end of a trial: on a GPU, where no state is carried, the same as elsewhere."""

import pytest
import torch

from growlab.layout import parse
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import LanguageModel, build_model
from growlab.training.device import use_device
from growlab.training.sample import Window, write

GREEDY = Sampling(temperature=0)


def restless(layout: str) -> LanguageModel:
    """A model that writes this and that: of a fresh one every token follows itself."""
    model = build_model(parse(layout), vocab_size=11, max_depth=2, dropout=0.5, seed=0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize(
    "sampling",
    [GREEDY, Sampling(temperature=0.8), Sampling(repetition_penalty=1.3), Sampling(top_k=4), Sampling(top_p=0.7)],
    ids=str,
)
def test_a_token_that_is_drawn_in_the_pass_itself_is_the_one_that_the_host_would_draw(sampling: Sampling) -> None:
    model = restless("d=16 conv mlp")
    expected = list(generate(model, [3, 1, 4], 40, sampling, seed=5, never=(9, 10)))

    written = write(model, [3, 1, 4], 40, sampling, seed=5, never=(9, 10))

    assert written == expected
    assert len(set(written)) > 2


def test_what_is_written_behind_the_end_before_the_host_looks_is_none_of_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, sampling = restless("d=16 conv mlp"), Sampling(temperature=2.0)
    whole, passes = write(model, [3, 1, 4], 40, sampling, seed=5), []
    monkeypatch.setattr("growlab.training.sample.LOOK_EVERY", 8)
    write_next = Window.write_next
    monkeypatch.setattr(Window, "write_next", lambda window: (passes.append(1), write_next(window)))
    end = whole[10]

    written = write(model, [3, 1, 4], 40, sampling, seed=5, end=end)

    assert written == whole[: whole.index(end)]
    assert len(passes) in (8, 16)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["attn", "swa", "conv", "hebbian", "hopfield", "mamba", "mamba2", "ssm"])
def test_a_window_that_is_replayed_writes_what_carried_states_write(kind: str) -> None:
    model = restless(f"d=32 {kind} mlp").to(use_device("cuda"))

    written = write(model, [3, 1, 4], 40, GREEDY, seed=0)

    assert written == list(generate(model, [3, 1, 4], 40, GREEDY, seed=0))
    assert len(set(written)) > 2


@pytest.mark.gpu
def test_a_window_that_is_replayed_ends_where_carried_states_end_and_never_writes_what_it_must_not() -> None:
    model = restless("d=32 attn mlp").to(use_device("cuda"))
    sampling = Sampling(temperature=2.0, repetition_penalty=1.2)

    for end in range(11):
        written = write(model, [3, 1, 4], 40, sampling, seed=0, never=(9, 10), end=end)
        assert written == list(generate(model, [3, 1, 4], 40, sampling, seed=0, never=(9, 10), end=end))
        assert not {9, 10, end} & set(written)
