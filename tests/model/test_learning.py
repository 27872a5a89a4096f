"""A model of every kind of sequence mixer learns by heart."""

import torch

from growlab.layout import BlockSpec, Layout
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import build_model

# Each pair of the four tokens comes once: what follows is known from the last two tokens, not from the last.
CYCLE = [0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3]


def test_a_cycle_of_16_tokens_is_learnt_in_200_steps(mixer):
    layout = Layout(32, (BlockSpec(mixer), BlockSpec("mlp")) * 2)
    model = build_model(layout, vocab_size=4, max_depth=4, dropout=0.0, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rolled = torch.stack([torch.tensor(CYCLE * 3).roll(-start)[:33] for start in range(16)])

    for _ in range(200):
        loss = model.loss(rolled[:, :-1], rolled[:, 1:])
        if loss < 0.06:  # the first token alone leaves ln 4 / 32 = 0.04 open
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert loss.item() < 0.1
    assert list(generate(model, CYCLE[:5], 27, Sampling(temperature=0.0), seed=0)) == (CYCLE * 2)[5:]
