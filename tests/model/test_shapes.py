"""A model reads, learns and writes in the shapes that its functions name: this file's tests check them."""

from collections.abc import Callable

import pytest
import torch

from growlab.layout import parse
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import LanguageModel


@pytest.fixture(params=["d=16 attn mlp moe", "d=16 front=patch mix(conv,mlp) mlp head=hebbian_head"])
def model(request: pytest.FixtureRequest, model_of: Callable[..., LanguageModel]) -> LanguageModel:
    return model_of(parse(request.param), dtype=torch.float32)


def test_a_model_keeps_to_the_shapes_that_it_names(model: LanguageModel, ids: Callable[..., torch.Tensor]) -> None:
    ids_BT = ids(2, 13)

    loss, _ = model.objective(ids_BT, ids_BT)
    logits_BTV, states = model.advance(ids_BT[:, :9], model.initial_state(2))
    more_BTV, _ = model.advance(ids_BT[:, 9:], states)

    assert loss.shape == model.loss(ids_BT, ids_BT).shape == ()
    assert torch.cat((logits_BTV, more_BTV), dim=1).shape == model(ids_BT).shape
    assert all(value.shape == () for value in model.block_metrics(ids_BT).values())


def test_what_is_drawn_is_drawn_from_logits_of_one_place(model: LanguageModel) -> None:
    written = generate(model, [1, 2, 3], 5, Sampling(temperature=1.0, top_k=3, top_p=0.9), seed=0)

    assert len(list(written)) == 5
