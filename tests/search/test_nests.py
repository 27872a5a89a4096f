"""Nests, front ends, heads and the rule of layers in a study's space."""

from random import Random

import pytest

from growlab.domains import Fixed
from growlab.errors import LayoutError, NotRegistered, UnknownName, UsageError
from growlab.kinds import complete
from growlab.layout import flat_options, parse
from growlab.search import check_space, random_layout
from growlab.search.menu import Menu
from growlab.search.mutations import change_option, change_part
from growlab.search.repair import repair
from growlab.study import FromLayer

NESTS = {"mix(attn,conv)": {"attn.n_heads": (2, 4)}, "conv": {"kernel": (7,)}, "mlp": {}}


@pytest.fixture
def menu_of(make_study, kinds):
    return lambda *args, **options: Menu(make_study(*args, **options).layouts, kinds)


def test_what_stands_in_a_nest_has_the_values_of_the_entry_else_those_of_its_kind_in_the_study(menu_of):
    values = menu_of(NESTS).values["mix(attn,conv)"]

    assert values["attn.n_heads"] == (2, 4)
    assert values["conv.kernel"] == (7,)
    assert values["attn.heads_per_kv"] == (1, 2)
    assert values["price"] == (0.1, 1.0)


def test_an_option_that_is_written_in_the_key_is_not_searched(menu_of):
    values = menu_of({"mix[price=0.5](attn[n_heads=8],conv)": {}}).values["mix(attn,conv)"]

    assert values["price"] == (0.5,)
    assert values["attn.n_heads"] == (8,)


def test_two_of_a_kind_in_a_nest_are_told_apart(menu_of):
    values = menu_of({"mix(conv,conv)": {"conv_2.kernel": (9,)}}).values["mix(conv,conv)"]

    assert values["conv.kernel"] == (3, 4, 7)
    assert values["conv_2.kernel"] == (9,)


def test_a_change_of_an_option_inside_a_nest_says_which(menu_of):
    menu = menu_of({"mix(attn,conv)": {"attn.n_heads": (2, 4), "attn.heads_per_kv": (1,), "price": (0.1,)}})
    before = complete(parse("d=32 mix(attn[n_heads=2],conv)"), menu.kinds)

    said = {change_option(Random(seed), before, menu)[1] for seed in range(40)}

    assert "mix(attn,conv)[attn.n_heads 2→4] at 0" in said
    assert "mix(attn,conv)[conv.kernel 4→7] at 0" in said


@pytest.mark.parametrize(
    ("blocks", "error", "message"),
    [
        ({"mix(attn,cnv)": {}}, NotRegistered, "unknown block kind 'cnv'.*Did you mean 'conv'"),
        ({"mix(attn)": {}}, LayoutError, r"mix holds 2 to 4 branches.* got 1; write it like 'mix\(attn,conv\)'"),
        ({"attn(conv)": {}}, LayoutError, r"attn holds no blocks, got attn\(conv\)"),
        ({"attn conv": {}}, LayoutError, "'attn conv' must be one block"),
        ({"mix(attn,conv)": {"attn.heads": (2,)}}, UnknownName, r"unknown option of block kind 'mix\(attn,conv\)'"),
        ({"mix(attn,conv)": {}, "mix(attn[n_heads=2],conv)": {}}, LayoutError, r"names mix\(attn,conv\) twice"),
        ({"attn": {}, "patch": {}}, LayoutError, "patch is no block: write front=patch"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(blocks, error, message, make_study, kinds):
    with pytest.raises(error, match=message):
        check_space(make_study(blocks), kinds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"front": ("trace",)}, "layouts.front 'trace': front=trace: trace is not a front; known: patch"),
        ({"head": ("trace[size=99]",)}, r"layouts.head 'trace\[size=99\]': patch\[size=99\] does not fit"),
        ({"head": ()}, r"layouts.head must be a list such as \[plain\], got none"),
        (
            {"from_layer": FromLayer(layer=(2,), below=("attn",), above=("swa",))},
            "layouts.from_layer.above must be of the sequence mixers attn, conv, got swa",
        ),
        (
            {"from_layer": FromLayer(layer=(-1,), below=("attn",), above=("conv",))},
            "layouts.from_layer.layer must be at least 0, got -1",
        ),
    ],
)
def test_parts_and_rules_that_make_no_sense_are_refused(options, message, make_study, kinds):
    with pytest.raises(UsageError, match=message):
        check_space(make_study(**options), kinds)


def test_front_ends_and_heads_are_drawn_and_changed(menu_of):
    menu = menu_of(front=("plain", "patch[size=2]"), head=("plain", "trace"))

    drawn = {(layout.front and layout.front.kind, layout.head and layout.head.kind) for layout in draws(menu)}
    said = {change_part(Random(seed), next(draws(menu)), menu)[1].partition("[")[0] for seed in range(20)}

    assert len(drawn) == 4
    assert said & {"front becomes patch", "front becomes plain"}
    assert said & {"head becomes trace", "head becomes plain"}


def test_from_a_layer_on_other_mixers_are_drawn(menu_of):
    rule = FromLayer(layer=(2, 3), below=("attn",), above=("mix(attn,conv)", "conv"))
    menu = menu_of({"attn": {}, **NESTS}, depth=(6, 10), from_layer=rule)

    borders = set()
    for layout in draws(menu):
        kinds = [block.kind for block in layout.blocks if menu.role(block) == "sequence"]
        below = kinds.index(next((kind for kind in kinds if kind != "attn"), kinds[-1]))
        assert "attn" not in kinds[max(below, 3) :]
        borders.add(below)

    assert {2, 3} <= borders


def test_a_layout_that_breaks_the_rule_is_repaired_where_that_takes_least(menu_of):
    rule = FromLayer(layer=(1, 3), below=("attn",), above=("conv",))
    menu = menu_of(from_layer=rule)
    layout = complete(parse("d=64 attn attn mlp conv conv conv"), menu.kinds)

    repaired, words = repair(Random(0), layout, menu)

    assert [block.kind for block in repaired.blocks] in (
        ["attn", "conv", "mlp", "conv", "conv", "conv"],  # k = 1
        ["attn", "attn", "mlp", "attn", "conv", "conv"],  # k = 3
    )
    assert words[-1].startswith("from layer ")
    assert menu.contains(repaired)


def draws(menu: Menu):
    return (random_layout(Random(seed), menu) for seed in range(60))


def test_what_is_drawn_has_every_option_written_out(menu_of):
    menu = menu_of(NESTS, front=("patch",), head=("trace",))

    for layout in draws(menu):
        assert layout == complete(layout, menu.kinds)
        assert menu.contains(layout)
        assert all(flat_options(block).keys() == menu.values[menu.name(block)].keys() for block in layout.blocks)


def test_a_nest_of_many_options_is_drawn_and_refused_at_once(menu_of, make_study, kinds):
    """Their combinations are more than can be listed."""
    many = "mix(" + ",".join(["attn"] * 4) + ")"
    wide, narrow = menu_of({f"act({many} mlp)": {}, many: {}}, d_model=(20,)), make_study({many: {}}, d_model=(50,))

    drawn = wide.draw(Random(0), many, 20)  # of its attentions two heads alone fit

    assert {value for path, value in flat_options(drawn).items() if path.endswith("n_heads")} == {2}
    with pytest.raises(LayoutError, match=r"no mix\(attn,attn,attn,attn\) fits d_model 50"):
        check_space(narrow, kinds)


def test_a_window_that_does_not_hold_two_patches_is_refused(make_study, kinds):
    train = {"seq_len": Fixed(value=7)}

    with pytest.raises(UsageError, match=r"train.seq_len must be at least 8, two patches of front=patch, got 7"):
        check_space(make_study(front=("plain", "patch"), train=train), kinds)
    with pytest.raises(UsageError, match=r"two patches of front=patch\[size=4\], got 7"):
        check_space(make_study(start_with=("d=32 front=patch attn",), train=train), kinds)
