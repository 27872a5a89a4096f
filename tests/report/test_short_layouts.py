"""What is left out of layouts is what all that have it have alike; nothing else."""

from growlab.layout import parse
from growlab.report.short_layouts import short_layouts


def test_what_is_the_same_wherever_it_stands_is_left_out_and_said_once():
    first = "d=64 front=patch[size=4] attn[n_heads=2,qk_norm=true] mlp[expand=4.0]"
    second = "d=64 front=patch[size=4] (attn[n_heads=4,qk_norm=true] mlp[expand=4.0])x2 conv[kernel=3]"

    short = short_layouts([first, second])

    assert short.texts == {first: "attn[n_heads=2] mlp", second: "(attn[n_heads=4] mlp)x2 conv"}
    assert short.common == ("d=64", "front=patch[size=4]", "attn[qk_norm=true]", "conv[kernel=3]", "mlp[expand=4.0]")


def test_an_option_that_one_block_lacks_stays_with_the_others():
    short = short_layouts(["d=8 attn[gate=true] attn", "d=16 attn[gate=true]"])

    assert list(short.texts.values()) == ["d=8 attn[gate=true] attn", "d=16 attn[gate=true]"]
    assert short.common == ()


def test_blocks_in_nests_are_shortened_too():
    short = short_layouts(["d=8 mix[fuse=sum](attn[n_heads=2],ssm)", "d=8 attn[n_heads=2] mix[fuse=sum](conv,ssm)"])

    assert list(short.texts.values()) == ["mix(attn,ssm)", "attn mix(conv,ssm)"]


def test_short_texts_of_different_layouts_are_different():
    layouts = ["d=8 attn[n_heads=2] mlp", "d=8 attn[n_heads=4] mlp", "d=8 attn mlp", "d=8 mlp attn", "d=8 (attn mlp)x2"]

    assert len(set(short_layouts(layouts).texts.values())) == len(layouts)
    assert all(parse(layout) for layout in layouts)


def test_a_layout_alone_stays_whole_and_so_does_what_cannot_be_read():
    assert short_layouts(["d=8 attn mlp"] * 2).texts == {"d=8 attn mlp": "d=8 attn mlp"}
    assert short_layouts(["d=8 attn", "d=8 mlp", "]damaged["]).texts["]damaged["] == "]damaged["
