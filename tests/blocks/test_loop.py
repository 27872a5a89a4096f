"""Blocks that run again and again: the closed form, its gradients, and what is counted once or N times.

Legend: B batch, T tokens, D width.
"""

import pytest
import torch
from torch import nn

from growlab.blocks import block_cost, build_block
from growlab.blocks.base import Block, Mixer
from growlab.blocks.loop import Loop, LoopOptions
from growlab.errors import LayoutError
from growlab.layout import BlockSpec, parse_blocks


class Scaling(Mixer):
    """w · x: with it in a residual block without a norm a loop is a polynomial in w."""

    def __init__(self, w: float) -> None:
        super().__init__(4, None)
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x_BTD):
        return self.w * x_BTD


def linear_loop(w, **options):
    block = Block(BlockSpec("scaling"), Scaling(w), 4, dropout=0.0)
    block.norm = nn.Identity()
    return Loop(4, LoopOptions(**options), [[block]])


def looped(block_of, text, **options):
    (spec,) = parse_blocks(text)
    return block_of(spec, **options)


@pytest.mark.parametrize(("times", "factor"), [(1, 1.6), (2, 1.69), (3, 1.728)])  # (1 + 0.6 / N)^N
def test_a_linear_block_is_multiplied_by_the_power_that_its_passes_make(times, factor):
    x_BTD = torch.randn(2, 3, 4, dtype=torch.float64)

    stream_BTD, mixed_BTD, _ = linear_loop(0.6, times=times).open(x_BTD)

    torch.testing.assert_close(stream_BTD + mixed_BTD, factor * x_BTD, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("gradient", "of_w", "of_x"),
    [("all", 1.3, 1.69), ("last", 0.65, 1.3)],  # y = (1 + w/2)² x; else y = (1 + w/2) s, where s = x + a constant
)
def test_the_gradient_is_that_of_all_passes_or_of_the_last_alone(gradient, of_w, of_x):
    loop, x_BTD = linear_loop(0.6, times=2, gradient=gradient), torch.ones(1, 1, 4, dtype=torch.float64)
    x_BTD.requires_grad_()

    stream_BTD, mixed_BTD, _ = loop.open(x_BTD)
    (stream_BTD + mixed_BTD)[..., 0].sum().backward()

    assert loop.blocks[0].mixer.w.grad.item() == pytest.approx(of_w)
    assert x_BTD.grad[0, 0].tolist() == pytest.approx([of_x, 0, 0, 0])


def test_one_pass_is_the_blocks_themselves_to_the_bit(block_of, tokens):
    block, x_BTD = looped(block_of, "loop[times=1](attn mlp conv)", dtype=torch.float32), tokens(2, 9).float()

    y_BTD = block(x_BTD)

    for inner in block.mixer.blocks:
        x_BTD = inner(x_BTD)
    assert torch.equal(y_BTD, x_BTD)


def test_one_pass_drops_what_the_blocks_themselves_would(block_of, tokens):
    block, x_BTD = looped(block_of, "loop[times=1](conv mlp)", dropout=0.5), tokens(2, 9)
    torch.manual_seed(3)
    y_BTD = block(x_BTD)

    torch.manual_seed(3)
    for inner in block.mixer.blocks:
        x_BTD = inner(x_BTD)

    assert torch.equal(y_BTD, x_BTD)


def test_each_pass_drops_something_else(block_of):
    block = looped(block_of, "loop[times=4](mlp)", dropout=0.5)
    x_BTD, passes = torch.ones(1, 1, 32, dtype=torch.float64), []
    for run in block.mixer.runs():
        run.block.dropout.register_forward_hook(lambda _module, _inputs, output: passes.append(output == 0))
        break  # it is one block
    block(x_BTD)

    assert len(passes) == 3  # and the block around drops of the last
    assert not torch.equal(passes[0], passes[1])


def test_both_gradients_are_of_one_function(block_of, tokens):
    x_BTD = tokens(2, 9)

    full, last = (looped(block_of, f"loop[gradient={name},times=3](attn mlp)")(x_BTD) for name in ("all", "last"))

    assert torch.equal(full, last)


def test_nothing_of_the_passes_before_the_last_is_in_the_graph(block_of, tokens):
    block, x_BTD = looped(block_of, "loop[gradient=last,times=3](conv mlp)"), tokens(2, 9)
    x_BTD.requires_grad_()
    s_BTD = x_BTD
    with torch.no_grad():
        for _ in range(2):
            for inner in block.mixer.blocks:
                s_BTD = s_BTD + inner.mixer(inner.norm(s_BTD)) / 3
    s_BTD = s_BTD.detach().requires_grad_()
    y_BTD = s_BTD
    for inner in block.mixer.blocks:
        y_BTD = y_BTD + inner.mixer(inner.norm(y_BTD)) / 3
    expected = torch.autograd.grad(y_BTD.square().sum(), [s_BTD, *block.parameters()])

    got = torch.autograd.grad(block(x_BTD).square().sum(), [x_BTD, *block.parameters()])

    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_weights_keep_their_gradient_under_autocast_when_earlier_passes_have_none(block_of, tokens):
    block = looped(block_of, "loop[gradient=last](attn mlp)", dtype=torch.float32)

    with torch.autocast("cpu", torch.bfloat16):
        y_BTD = block(tokens(2, 9, dtype=torch.float32))
    y_BTD.square().sum().backward()

    assert all((parameter.grad != 0).any() for parameter in block.parameters())


def test_a_loop_alone_in_a_loop_is_one_of_all_their_passes(block_of, tokens):
    nested, flat = (looped(block_of, text) for text in ("loop(loop[times=3](attn mlp))", "loop[times=6](attn mlp)"))

    flat.load_state_dict(dict(zip(flat.state_dict(), nested.state_dict().values(), strict=True)))

    torch.testing.assert_close(nested(tokens(2, 9)), flat(tokens(2, 9)), rtol=1e-12, atol=1e-12)


def test_passes_have_one_set_of_weights_and_a_state_each():
    once, thrice = (block_cost(parse_blocks(text)[0], 32, 8) for text in ("loop[times=1](attn)", "loop[times=3](attn)"))
    (attn,) = parse_blocks("attn")

    assert once == block_cost(attn, 32, 8)
    assert thrice.n_params == once.n_params
    assert (thrice.flops, thrice.state_size) == (3 * once.flops, 3 * once.state_size)


def test_what_its_blocks_want_counts_once_whatever_the_passes(block_of, tokens):
    for times in (1, 3):
        block = looped(block_of, f"loop[times={times}](router[ponder=1.0](mlp))")
        torch.nn.init.zeros_(block.mixer.blocks[0].mixer.gate.weight)

        _, penalty = block.forward_with_penalty(tokens(2, 9))

        assert penalty.item() == pytest.approx(0.5)


def test_its_blocks_tell_of_their_last_runs(block_of, tokens):
    block = looped(block_of, "loop[times=2](attn moe)")
    s_BTD = tokens(2, 9)
    attn, moe = block.mixer.blocks
    for mixers in ([attn, moe], [attn]):
        for inner in mixers:
            s_BTD = s_BTD + inner.mixer(inner.norm(s_BTD)) / 2

    told = block.mixer.metrics(tokens(2, 9))

    expected = moe.mixer.metrics(moe.norm(s_BTD))
    assert told.keys() == {f"inner_1.{name}" for name in expected}
    for name, value in expected.items():
        torch.testing.assert_close(told[f"inner_1.{name}"], value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loop[times=0](mlp)", r"loop\[times=0\] must be between 1 and 64"),
        ("loop[times=65](mlp)", "loop runs a block 65 times, at most 64 are allowed; lower times"),
        ("loop[times=often](mlp)", r"loop\[times=often\]: times must be of type int, like its default 2"),
        ("loop[gradient=none](mlp)", r"loop\[gradient=none\] must be all or last"),
        ("loop[times=8](act(loop[times=9](mlp)))", "loop runs a block 72 times, at most 64 are allowed; lower times"),
        ("loop(mlp,attn)", r"loop holds 1 branches.* got 2; write it like 'loop\(attn mlp\)'"),
    ],
)
def test_a_loop_that_makes_no_sense_is_refused(text, message):
    (spec,) = parse_blocks(text)

    with pytest.raises(LayoutError, match=message):
        build_block(spec, 32, max_depth=1, dropout=0.0)
