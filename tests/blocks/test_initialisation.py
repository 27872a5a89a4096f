"""How blocks are born."""

import math

import pytest
import torch

from growlab.blocks import Block, build_block
from growlab.blocks.base import StreamBlock
from growlab.errors import UnknownName
from growlab.layout import BlockSpec


def born(spec: BlockSpec, *, max_depth: int, width: int = 256) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_block(spec, width, max_depth=max_depth, dropout=0.0)


def test_only_the_out_projection_depends_on_the_depth_that_may_be_reached(spec):
    shallow, deep = (dict(born(spec, max_depth=depth).named_parameters()) for depth in (1, 9))

    for name in shallow:
        factor = 3 if name.endswith("out_proj.weight") else 1
        torch.testing.assert_close(factor * deep[name], shallow[name])


def test_matrices_have_a_variance_of_a_third_over_their_inputs(spec):
    block = born(spec, max_depth=1)

    for module in block.modules():
        if isinstance(module, torch.nn.Linear):
            chance = 4 / math.sqrt(2 * module.weight.numel())  # four standard deviations of what is measured
            expected = 1 / math.sqrt(3 * module.in_features)
            assert module.weight.std().item() == pytest.approx(expected, rel=max(0.03, chance))
            assert module.bias is None or not module.bias.any()


def test_the_norm_starts_as_a_plain_norm(spec):
    blocks = [module for module in born(spec, max_depth=1).modules() if isinstance(module, Block)]
    gains = [block.norm.weight for block in blocks if not isinstance(block, StreamBlock)]  # which have none

    assert gains
    assert all((gain == 1).all() for gain in gains)


def test_an_unknown_kind_is_a_clear_error():
    with pytest.raises(UnknownName, match=r"unknown block kind 'atn'; known: act, attn, .*Did you mean 'attn'"):
        born(BlockSpec("atn"), max_depth=1)
