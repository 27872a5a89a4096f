"""Parallel branches and their gate.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch

from growlab.errors import LayoutError
from growlab.layout import parse_blocks


def mixed(block_of, text, **options):
    (spec,) = parse_blocks(text)
    return block_of(spec, **options).mixer


@pytest.mark.parametrize("text", ["mix(attn,conv)", "mix(attn,conv,mlp)"])
def test_the_weights_of_the_branches_of_a_token_sum_to_one(block_of, tokens, text):
    gates_BTN = mixed(block_of, text).gates(tokens(2, 9))

    assert (gates_BTN >= 0).all()
    torch.testing.assert_close(gates_BTN.sum(-1), torch.ones(2, 9, dtype=torch.float64))


@pytest.mark.parametrize("text", ["mix(attn,conv)", "mix(attn,conv,mlp)"])
def test_what_comes_out_is_the_weighted_sum_of_the_branches(block_of, tokens, text):
    mix, x_BTD = mixed(block_of, text), tokens(2, 9)

    y_BTD = mix(x_BTD)

    gates_BTN = mix.gates(x_BTD)
    expected_BTD = sum(gates_BTN[..., at, None] * branch(x_BTD) for at, branch in enumerate(mix.mixers))
    torch.testing.assert_close(y_BTD, expected_BTD, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_a_gate_that_is_sure_leaves_a_single_branch(block_of, tokens, chosen):
    mix, x_BTD = mixed(block_of, "mix(attn,conv,mlp)"), tokens(2, 9)
    x_BTD[..., 0] = 1
    with torch.no_grad():
        mix.gate.weight.zero_()
        mix.gate.weight[chosen, 0] = 1e6

    torch.testing.assert_close(mix(x_BTD), mix.mixers[chosen](x_BTD), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("sign", "chosen"), [(1e6, 0), (-1e6, 1)])
def test_of_two_branches_one_number_chooses(block_of, tokens, sign, chosen):
    mix, x_BTD = mixed(block_of, "mix(swa,hebbian)"), tokens(2, 9)
    x_BTD[..., 0] = 1
    with torch.no_grad():
        mix.gate.weight.zero_()
        mix.gate.weight[0, 0] = sign

    torch.testing.assert_close(mix(x_BTD), mix.mixers[chosen](x_BTD), rtol=1e-12, atol=1e-12)


def test_branches_weigh_about_the_same_at_first(block_of, tokens):
    gates_BTN = mixed(block_of, "mix(attn,ssm)", bold=False).gates(tokens(8, 64))

    assert gates_BTN.mean((0, 1))[0].item() == pytest.approx(0.5, abs=0.1)


def test_a_mix_has_the_parameters_of_its_branches_and_of_its_gate(block_of):
    attn, ssm, both = (
        sum(each.numel() for each in mixed(block_of, text).parameters()) for text in ("attn", "ssm", "mix(attn,ssm)")
    )

    assert both == attn + ssm + 32


def test_penalties_of_branches_are_added(block_of, tokens):
    one = mixed(block_of, "router[ponder=0.5](conv)").forward_with_penalty(tokens(2, 9))[1]
    two = mixed(block_of, "mix(router[ponder=0.5](conv),router[ponder=0.25](conv))")
    for router in two.mixers:
        torch.nn.init.zeros_(router.gate.weight)

    assert 0 < one < 0.5
    assert two.forward_with_penalty(tokens(2, 9))[1].item() == pytest.approx(0.5 * 0.5 + 0.25 * 0.5)


@pytest.mark.parametrize("text", ["mix(attn)", "mix(attn mlp,ssm)"])
def test_a_mix_of_something_else_is_refused(block_of, text):
    with pytest.raises(LayoutError, match=r"mix holds .* write it like 'mix\(attn,ssm\)'"):
        mixed(block_of, text)
