"""Gated convolution against loops that are slow and plain.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch

from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec, parse_blocks


def convolution_by_loops(mixer: torch.nn.Module, x_TD: torch.Tensor) -> torch.Tensor:
    T, D = x_TD.shape
    value_weight, gate_weight = mixer.in_proj.weight[:D], mixer.in_proj.weight[D:]
    # torch's filters run from the oldest token to the newest
    filter_DK = mixer.filter.weight[:, 0].flip(1)
    y_TD = torch.zeros(T, D, dtype=torch.float64)
    for t in range(T):
        filtered_D = mixer.filter.bias.clone()
        for back in range(min(filter_DK.shape[1], t + 1)):
            filtered_D = filtered_D + filter_DK[:, back] * (value_weight @ x_TD[t - back])
        gate_D = gate_weight @ x_TD[t]
        y_TD[t] = mixer.out_proj.weight @ (gate_D / (1 + torch.exp(-gate_D)) * filtered_D)
    return y_TD


@pytest.mark.parametrize("kernel", [1, 2, 4, 8, 20])
def test_the_convolution_is_what_loops_over_tokens_give(block_of, tokens, kernel):
    mixer, x_BTD = block_of(BlockSpec("conv", (("kernel", kernel),))).mixer, tokens(2, 9)

    y_BTD = mixer(x_BTD)

    for y_TD, x_TD in zip(y_BTD, x_BTD, strict=True):
        torch.testing.assert_close(y_TD, convolution_by_loops(mixer, x_TD), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [1, 4])
def test_a_token_is_forgotten_after_as_many_tokens_as_the_filter_sees(block_of, tokens, kernel):
    block = block_of(BlockSpec("conv", (("kernel", kernel),)))
    x_BTD = tokens(1, 12).requires_grad_()

    block(x_BTD)[:, 9].sum().backward()

    seen_T = (x_BTD.grad[0] != 0).any(dim=1)
    assert seen_T.nonzero().flatten().tolist() == list(range(9 - kernel + 1, 10))


def test_a_filter_of_one_token_carries_no_state(block_of, tokens):
    block = block_of(BlockSpec("conv", (("kernel", 1),)))

    _, (state,) = block.advance(tokens(2, 5), block.mixer.initial_state(2))

    assert state.numel() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv[kernel=0]", r"conv\[kernel=0\] must be at least 1"),
        ("conv[kernel=-4]", r"conv\[kernel=-4\] must be at least 1"),
        ("conv[kernel=4.5]", "kernel must be of type int, like its default 4"),
    ],
)
def test_options_that_do_not_fit_are_refused(text, message):
    (spec,) = parse_blocks(text)

    with pytest.raises(LayoutError, match=message):
        KINDS["conv"].read_options(spec, 32)
