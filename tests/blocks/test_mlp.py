"""SwiGLU and GELU against loops that are slow and plain."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growlab.blocks.mlp import MlpOptions, hidden_width
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec, parse_blocks


@pytest.mark.parametrize("expand", [0.1, 2.0, 8 / 3])
def test_swiglu_is_what_loops_over_hidden_units_give(block_of, tokens, expand):
    mixer, x_BTD = block_of(BlockSpec("mlp", (("expand", expand),))).mixer, 3 * tokens(1, 2)
    in_weight, out_weight = mixer.in_proj.weight.detach(), mixer.out_proj.weight.detach()
    hidden = len(in_weight) // 2

    y_BTD = mixer(x_BTD)

    for y_D, x_D in zip(y_BTD[0], x_BTD[0], strict=True):
        expected_D = torch.zeros_like(y_D)
        for unit in range(hidden):
            value = float(in_weight[unit] @ x_D)
            gate = float(in_weight[hidden + unit] @ x_D)
            expected_D = expected_D + value * gate / (1 + math.exp(-gate)) * out_weight[:, unit]
        torch.testing.assert_close(y_D, expected_D, rtol=1e-12, atol=1e-12)


def test_gelu_is_what_loops_over_hidden_units_give(block_of, tokens):
    mixer, x_BTD = block_of(BlockSpec("mlp", (("activation", "gelu"), ("expand", 2.0)))).mixer, 3 * tokens(1, 2)
    in_weight, out_weight = mixer.in_proj.weight.detach(), mixer.out_proj.weight.detach()

    y_BTD = mixer(x_BTD)

    for y_D, x_D in zip(y_BTD[0], x_BTD[0], strict=True):
        values = [float(weight @ x_D) for weight in in_weight]
        normal = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in values]
        expected_D = sum(each * out_weight[:, unit] for unit, each in enumerate(normal))
        torch.testing.assert_close(y_D, expected_D, rtol=1e-12, atol=1e-12)


def test_gelu_at_4_costs_what_swiglu_costs_at_8_thirds():
    gelu, swiglu = (
        KINDS["mlp"].cost(384, MlpOptions(activation=name, expand=expand), 256)
        for name, expand in (("gelu", 4.0), ("swiglu", 8 / 3))
    )

    assert (gelu.n_params, gelu.flops) == (swiglu.n_params, swiglu.flops)


def test_an_unknown_activation_is_refused():
    with pytest.raises(LayoutError, match=r"mlp\[activation=relu\] must be swiglu or gelu"):
        KINDS["mlp"].read_options(BlockSpec("mlp", (("activation", "relu"),)), 32)


@given(width=st.integers(1, 2000), expand=st.floats(0.01, 64))
def test_the_hidden_width_is_the_nearest_multiple_of_8_and_at_least_8(width, expand):
    hidden = hidden_width(width, MlpOptions(expand=expand))

    assert hidden % 8 == 0
    assert hidden >= 8
    assert abs(hidden - width * expand) <= 4 or hidden == 8


@pytest.mark.parametrize("expand", [0, 0.0, -1.5, 65, math.inf, math.nan])
def test_an_expansion_that_makes_no_sense_is_refused(expand):
    spec = BlockSpec("mlp", (("expand", expand),))

    with pytest.raises(LayoutError, match=r"mlp\[expand=.*\] must be greater than 0 and at most 64"):
        KINDS["mlp"].read_options(spec, 32)


def test_a_whole_number_is_read_as_the_expansion_it_means():
    (spec,) = parse_blocks("mlp[expand=4]")

    assert KINDS["mlp"].read_options(spec, 32) == MlpOptions(expand=4.0)
