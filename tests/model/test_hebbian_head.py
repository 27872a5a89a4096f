"""The head that remembers which token followed what.

Legend: B batch, T tokens, D width, V vocabulary.
"""

import pytest
import torch
import torch.nn.functional as F

from growlab.blocks.base import NORM_EPS
from growlab.errors import LayoutError
from growlab.layout import parse

RATE, DECAY, SCALE = 0.03, 0.9, 1.0
OPTIONS = f"rate={RATE},decay={DECAY},scale={SCALE}"


def headed(model_of, blocks="attn mlp", options=OPTIONS, **more):
    return model_of(parse(f"d=16 {blocks} head=hebbian_head[{options}]"), **more)


def without_head(model, model_of, blocks="attn mlp"):
    plain = model_of(parse(f"d=16 {blocks}"))
    plain.load_state_dict(model.state_dict())
    return plain


def stream(model, ids_BT):
    """What enters the norm before the head, (B, T, D)."""
    x_BTD = model.embed(ids_BT)
    for block in model.blocks():
        x_BTD = block(x_BTD)
    return x_BTD


def one_token_after_another(model, ids_BT):
    """What the memory adds to the logits, and each memory, by its definition and one sequence at a time."""
    added, memories = [], []
    for x_TD, ids_T in zip(stream(model, ids_BT), ids_BT, strict=True):
        n_TD = F.rms_norm(x_TD, x_TD.shape[1:], eps=NORM_EPS)
        memory_VD = torch.zeros(model.vocab_size, 16, dtype=torch.float64)
        for t, token in enumerate(ids_T.tolist()):
            memory_VD = DECAY * memory_VD
            if t:
                memory_VD[token] += RATE * n_TD[t - 1]
            added.append(SCALE * memory_VD @ n_TD[t])
            memories.append(memory_VD)
    return torch.stack(added).view(*ids_BT.shape, -1), memories


def test_what_is_added_is_what_the_definition_says(model_of, ids):
    model, ids_BT = headed(model_of), ids(2, 150)  # several chunks

    logits_BTV = model(ids_BT)

    added_BTV, _ = one_token_after_another(model, ids_BT)
    torch.testing.assert_close(logits_BTV - without_head(model, model_of)(ids_BT), added_BTV, rtol=0, atol=1e-12)


def test_the_memory_of_a_sequence_is_its_own(model_of, ids):
    model, ids_BT = headed(model_of), ids(3, 20)

    _, states = model.advance(ids_BT, model.initial_state(3))
    alone = [model.advance(each[None], model.initial_state(1))[1][-1][0] for each in ids_BT]

    torch.testing.assert_close(states[-1][0], torch.cat(alone), rtol=0, atol=1e-12)
    assert not torch.allclose(alone[0], alone[1])


def test_the_memory_is_written_while_decoding_and_fades_by_its_decay(model_of, ids):
    model, ids_BT = headed(model_of, options="rate=0.0,decay=0.9,scale=1.0"), ids(1, 5)
    *states, (memory_BDV, last_B1D) = model.initial_state(1)
    written = (torch.ones_like(memory_BDV), last_B1D)

    _, (*_, (memory_BDV, _)) = model.advance(ids_BT, [*states, written])

    torch.testing.assert_close(memory_BDV, 0.9**5 * written[0], rtol=1e-6, atol=0)


def test_the_memory_stays_below_its_bound(model_of):
    model = headed(model_of, blocks="mlp", bold=True)
    same_BT = torch.zeros(1, 400, dtype=torch.long)

    _, (*_, (memory_BDV, _)) = model.advance(same_BT, model.initial_state(1))

    bound = RATE * 16**0.5 / (1 - DECAY)
    assert 0.9 * bound < memory_BDV.norm().item() <= bound * (1 + 1e-9)


@pytest.mark.parametrize("options", ["scale=0.0", "rate=0.0"])
def test_without_scale_or_rate_it_is_the_plain_head(model_of, ids, options):
    model = headed(model_of, options=options)

    torch.testing.assert_close(model(ids(2, 30)), without_head(model, model_of)(ids(2, 30)), rtol=0, atol=1e-12)


def chances_of_b_after_a(model, n_times):
    """P(B | A) each time that A comes in A B C A B C …, decoded token by token."""
    states, chances = model.initial_state(1), []
    for token in [1, 2, 3] * n_times:
        logits_BTV, states = model.advance(torch.tensor([[token]]), states)
        if token == 1:
            chances.append(logits_BTV[0, 0].softmax(-1)[2].item())
    return chances


@pytest.mark.parametrize("blocks", ["mlp", "(attn mlp)x2"])
def test_what_was_seen_in_a_session_is_expected_more_and_more(model_of, blocks):
    model = headed(model_of, blocks=blocks, options="scale=1.0", bold=False)

    chances = chances_of_b_after_a(model, 12)

    assert chances == sorted(chances)
    assert chances[-1] > 1.5 * chances[0]
    assert chances_of_b_after_a(model, 1)[0] == chances[0], "a fresh session has not seen it"


def test_nothing_is_learnt_in_a_session_with_a_scale_of_zero(model_of):
    chances = chances_of_b_after_a(headed(model_of, blocks="mlp", options="scale=0.0"), 12)

    assert max(chances) - min(chances) <= 1e-12


def test_the_memory_is_saved_with_no_weights(model_of):
    model = headed(model_of)

    assert model.state_dict().keys() == without_head(model, model_of).state_dict().keys()


def test_gradients_pass_through_what_is_written(model_of, ids):
    model, ids_BT = headed(model_of), ids(1, 12)
    embedded = []
    model.embedding.register_forward_hook(lambda module, given, output: embedded.append(output) or output.retain_grad())

    added_V = model(ids_BT)[0, -1] - without_head(model, model_of)(ids_BT)[0, -1].detach()
    added_V[ids_BT[0, 3]].backward()

    assert (embedded[0].grad[0, 2] != 0).any()  # the token before the one whose return is asked for


@pytest.mark.parametrize("options", ["scale=-1.0", "rate=2.0", "decay=1.0"])
def test_heads_that_make_no_sense_are_refused(model_of, options):
    with pytest.raises(LayoutError, match=r"hebbian_head\[.* must be"):
        headed(model_of, options=options)
