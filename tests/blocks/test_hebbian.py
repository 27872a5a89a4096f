"""Fast weights against the formula, one matrix at a time.

Legend: B batch, T tokens, D width, H heads, E head size.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks import block_cost
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec

PLAIN, FORGETFUL = BlockSpec("hebbian"), BlockSpec("hebbian", (("plasticity", 0.5),))
DELTA = BlockSpec("hebbian", (("delta", True),))


def by_the_formula(mixer, x_TD: torch.Tensor, alpha: float) -> torch.Tensor:
    H, E = mixer.n_heads, mixer.head_dim
    memory, normaliser, outputs = torch.zeros(H, E, E).double(), torch.zeros(H, E).double(), []
    for x_D in x_TD:
        qkv_D, decay_H, strength_H = torch.split(mixer.in_proj.weight @ x_D, (3 * H * E, H, H))
        q_HE, k_HE, v_HE = qkv_D.view(3, H, E)
        read = []
        for h in range(H):
            forget, write = alpha * torch.sigmoid(decay_H[h] + mixer.decay_bias[h]), torch.sigmoid(strength_H[h])
            q_E, k_E = F.elu(q_HE[h]) + 1, F.elu(k_HE[h]) + 1
            memory[h] = forget * memory[h] + write * torch.outer(k_E, v_HE[h])
            normaliser[h] = forget * normaliser[h] + write * k_E
            read.append(memory[h].T @ q_E / (q_E @ normaliser[h] + 1e-6))
        outputs.append(mixer.out_proj.weight @ torch.cat(read))
    return torch.stack(outputs)


def by_the_delta_rule(mixer, x_TD: torch.Tensor, alpha: float) -> torch.Tensor:
    H, E = mixer.n_heads, mixer.head_dim
    memory, outputs = torch.zeros(H, E, E).double(), []
    for x_D in x_TD:
        qkv_D, decay_H, strength_H = torch.split(mixer.in_proj.weight @ x_D, (3 * H * E, H, H))
        q_HE, k_HE, v_HE = qkv_D.view(3, H, E)
        read = []
        for h in range(H):
            forget, write = alpha * torch.sigmoid(decay_H[h] + mixer.decay_bias[h]), torch.sigmoid(strength_H[h])
            q_E, k_E = (F.silu(each) / F.silu(each).norm() for each in (q_HE[h], k_HE[h]))
            memory[h] = forget * memory[h]
            memory[h] = memory[h] + write * torch.outer(k_E, v_HE[h] - memory[h].T @ k_E)
            read.append(memory[h].T @ q_E)
        outputs.append(mixer.out_proj.weight @ torch.cat(read))
    return torch.stack(outputs)


@pytest.mark.parametrize(
    ("spec_", "alpha", "formula"),
    [
        (PLAIN, 1.0, by_the_formula),
        (FORGETFUL, 0.5, by_the_formula),
        (DELTA, 1.0, by_the_delta_rule),
        (BlockSpec("hebbian", (("delta", True), ("plasticity", 0.1))), 0.1, by_the_delta_rule),
    ],
)
def test_a_block_is_its_formula(block_of, tokens, spec_, alpha, formula):
    mixer, x_BTD = block_of(spec_).mixer, tokens(1, 70)

    with torch.no_grad():
        y_BTD, expected_TD = mixer(x_BTD), formula(mixer, x_BTD[0], alpha)

    torch.testing.assert_close(y_BTD[0], expected_TD, rtol=1e-11, atol=1e-11)


def test_half_lives_are_spread_from_4_tokens_to_256(block_of):
    decay_H = block_of(PLAIN, bold=False).mixer.decay_bias.sigmoid()

    assert (math.log(0.5) / decay_H.log()).tolist() == pytest.approx([4, 16, 64, 256], rel=1e-3)


def test_how_fast_is_forgotten_depends_on_the_token(block_of, tokens):
    mixer, x_BTD = block_of(PLAIN).mixer, tokens(1, 9)
    D, H = 32, mixer.n_heads
    shared = mixer(x_BTD)

    mixer.in_proj.weight.data[3 * D : 3 * D + H] = 0

    assert not torch.allclose(mixer(x_BTD)[:, 2:], shared[:, 2:], rtol=1e-3)
    assert torch.allclose(mixer(x_BTD)[:, 0], shared[:, 0])  # there was nothing to forget


def test_what_is_read_is_a_mean_of_the_values(block_of, tokens):
    mixer, x_BTD = block_of(PLAIN).mixer, tokens(2, 200)
    mixer.in_proj.weight.data[64:96] = 0
    mixer.in_proj.weight.data[64:96, 0] = 1
    x_BTD[..., 0] = 3.0  # so that every value is 3
    torch.nn.init.eye_(mixer.out_proj.weight)

    torch.testing.assert_close(mixer(x_BTD), torch.full_like(x_BTD, 3.0), rtol=1e-3, atol=0)


@pytest.mark.parametrize("spec_", [PLAIN, DELTA], ids=str)
def test_a_long_text_costs_what_is_told(block_of, tokens, spec_):
    block, x_BTD = block_of(spec_), tokens(2, 200)

    with FlopCounterMode(display=False) as counter:
        block(x_BTD)

    assert counter.get_total_flops() == 2 * block_cost(spec_, 32, 200).matmul_flops


# ---- a plasticity that changes -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", [PLAIN, DELTA], ids=str)
def test_a_plasticity_that_was_set_is_one_that_was_built(block_of, tokens, rule, dtype):
    block, x_BTD = block_of(rule, dtype=dtype), tokens(2, 70, dtype=dtype)

    block.set_plasticity(0.1)

    built = block_of(
        BlockSpec("hebbian", tuple(sorted({**dict(rule.options), "plasticity": 0.1}.items()))), dtype=dtype
    )
    assert block.spec == built.spec
    assert torch.equal(block(x_BTD), built(x_BTD))
    assert not torch.allclose(block(x_BTD), block_of(rule, dtype=dtype)(x_BTD))


@pytest.mark.parametrize("rule", [PLAIN, DELTA], ids=str)
def test_decoding_goes_on_with_the_plasticity_that_is_set(block_of, tokens, rule):
    block, x_BTD = block_of(rule), tokens(2, 70)
    block.set_plasticity(0.5)

    first_BTD, state = block.advance(x_BTD[:, :33], block.mixer.initial_state(2))
    rest_BTD, _ = block.advance(x_BTD[:, 33:], state)

    torch.testing.assert_close(torch.cat((first_BTD, rest_BTD), dim=1), block(x_BTD), rtol=0, atol=1e-12)


def test_a_plasticity_is_set_in_place_and_is_no_weight(block_of):
    block = block_of(PLAIN)
    where, names = block.mixer.log_plasticity.data_ptr(), set(block.state_dict())

    block.set_plasticity(0.1)

    assert block.mixer.log_plasticity.data_ptr() == where  # a recorded step goes on reading there
    assert set(block.state_dict()) == names == {name for name, _ in block.named_parameters()}


def test_a_plasticity_survives_a_cast_and_the_way_to_memory_that_was_not_there(block_of, tokens):
    block, x_BTD = block_of(PLAIN, dtype=torch.float32), tokens(2, 70)
    block.set_plasticity(0.1)
    weights = block.state_dict()

    with torch.device("meta"):
        empty = block_of(PLAIN, dtype=torch.float32)
    empty.set_plasticity(0.1)
    empty.to_empty(device="cpu").load_state_dict(weights)

    assert torch.equal(empty.double()(x_BTD), block.double()(x_BTD))
    assert block.mixer.log_plasticity.item() == math.log(0.1)


def test_a_block_without_plasticity_stays_as_it_is(block_of):
    block = block_of(BlockSpec("mlp"))

    block.set_plasticity(0.1)

    assert block.spec == BlockSpec("mlp")


def test_decays_are_neither_decayed_nor_extrapolated(block_of):
    bias = block_of(PLAIN).mixer.decay_bias

    assert bias.no_decay
    assert bias.copied_at_growth


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((("n_heads", 5),), r"hebbian\[n_heads=5\] must divide d=32"),
        ((("plasticity", 0.0),), r"hebbian\[plasticity=0.0\] must be greater than 0 and at most 1"),
        ((("plasticity", 1.5),), r"hebbian\[plasticity=1.5\] must be greater than 0 and at most 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["hebbian"].read_options(BlockSpec("hebbian", options), 32)
