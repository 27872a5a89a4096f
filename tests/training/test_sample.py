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
