"""The text at the end of a trial: on a GPU, where no state is carried, the same as elsewhere."""

import pytest
import torch

from growlab.layout import parse
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import build_model
from growlab.training.device import use_device
from growlab.training.sample import write

GREEDY = Sampling(temperature=0)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["attn", "swa", "conv", "hebbian", "hopfield", "mamba", "mamba2", "ssm"])
def test_a_window_that_is_replayed_writes_what_carried_states_write(kind: str) -> None:
    layout = parse(f"d=32 {kind} mlp")
    model = build_model(layout, vocab_size=11, max_depth=2, dropout=0.5, seed=0).to(use_device("cuda")).eval()
    for parameter in model.parameters():  # of a fresh model every token follows itself
        torch.nn.init.normal_(parameter, std=0.5)

    written = write(model, [3, 1, 4], 40, GREEDY, seed=0)

    assert written == list(generate(model, [3, 1, 4], 40, GREEDY, seed=0))
    assert len(set(written)) > 2


@pytest.mark.gpu
def test_a_window_that_is_replayed_ends_where_carried_states_end_and_never_writes_what_it_must_not() -> None:
    layout = parse("d=32 attn mlp")
    model = build_model(layout, vocab_size=11, max_depth=2, dropout=0.0, seed=0).to(use_device("cuda")).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    sampling = Sampling(temperature=2.0, repetition_penalty=1.2)

    for end in range(11):
        written = write(model, [3, 1, 4], 40, sampling, seed=0, never=(9, 10), end=end)
        assert written == list(generate(model, [3, 1, 4], 40, sampling, seed=0, never=(9, 10), end=end))
        assert not {9, 10, end} & set(written)
