"""Kinds as data: options completed, typed and checked; layouts shortened for people; blocks grouped into units."""

from dataclasses import dataclass

import pytest

from growlab.errors import LayoutError, UnknownName
from growlab.kinds import KINDS, Cost, Kind, complete, option, register_block, shorten, units
from growlab.layout import parse, parse_blocks
from growlab.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Options:
    heads: int = option(4, search=(2, 4), help="")
    expand: float = option(2.0, search=(2.0, 4.0), help="")
    gated: bool = option(False, search=(), help="")

    def check(self, d_model: int) -> None:
        if d_model % self.heads:
            raise LayoutError(f"{self.heads} heads do not fit d={d_model}")


def no_cost(d_model: int, options: Options, seq_len: int) -> Cost:
    return Cost(n_params=0, matmul_flops=2, other_flops=3, activations=0, state_size=0)


@pytest.fixture
def kinds():
    table = Registry("block kind")
    for name, role in (("seq", "sequence"), ("chan", "channel")):
        table.add(name, Kind(name=name, role=role, summary="", options=Options, cost=no_cost, mixer=object))
    return table


def test_completing_writes_every_option_out_in_the_type_of_its_default(kinds):
    layout = complete(parse("d=8 seq[expand=3] chan"), kinds)

    assert str(layout) == "d=8 seq[expand=3.0,gated=false,heads=4] chan[expand=2.0,gated=false,heads=4]"
    assert complete(layout, kinds) == layout


def test_shortening_leaves_the_defaults_out(kinds):
    layout = parse("d=8 seq[expand=2.0,gated=true,heads=4] chan")

    assert str(shorten(layout, kinds)) == "d=8 seq[gated=true] chan"
    assert complete(shorten(layout, kinds), kinds) == complete(layout, kinds)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("d=8 sec", UnknownName, r"unknown block kind 'sec'; known: chan, seq\. Did you mean 'seq'\?"),
        ("d=8 seq[head=2]", UnknownName, "unknown option of block kind 'seq' 'head'; .* Did you mean 'heads'"),
        ("d=8 seq[heads=2.0]", LayoutError, r"seq\[heads=2\.0\]: heads must be of type int, like its default 4"),
        ("d=8 seq[heads=true]", LayoutError, "heads must be of type int"),
        ("d=8 seq[expand=true]", LayoutError, "expand must be of type float"),
        ("d=8 seq[expand=nan]", LayoutError, "expand must be of type float"),
        ("d=8 seq[gated=1]", LayoutError, "gated must be of type bool"),
        ("d=9 seq", LayoutError, "4 heads do not fit d=9"),
    ],
)
def test_options_that_do_not_fit_say_so(kinds, text, error, message):
    with pytest.raises(error, match=message):
        complete(parse(text), kinds)


def test_a_unit_is_a_sequence_mixer_with_the_channel_mixers_behind_it(kinds):
    blocks = parse_blocks("chan seq chan chan seq seq chan")

    assert [" ".join(block.kind for block in unit) for unit in units(blocks, kinds)] == [
        "chan",
        "seq chan chan",
        "seq",
        "seq chan",
    ]


def test_registering_a_mixer_puts_its_kind_into_the_table():
    before = dict(KINDS)

    @register_block("test_only", role="channel", summary="does nothing", options=Options, cost=no_cost)
    class Nothing:
        pass

    try:
        kind = KINDS["test_only"]
        assert (kind.role, kind.summary, kind.mixer) == ("channel", "does nothing", Nothing)
        assert kind.cost(8, Options(), 1).flops == 5
    finally:
        KINDS.reset(before)
