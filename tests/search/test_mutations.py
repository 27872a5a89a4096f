"""Every mutation does what its words say and stays inside the space; repair brings back what is outside."""

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.kinds import complete, shorten
from growlab.layout import BlockSpec, Layout, parse, parse_blocks
from growlab.search import random_layout
from growlab.search.menu import Menu
from growlab.search.mutations import (
    MUTATIONS,
    change_option,
    change_width,
    delete_block,
    duplicate_unit,
    insert_block,
    mutate,
    remove_unit,
    substitute_block,
    swap_neighbours,
)
from growlab.search.repair import repair

SEEDS = range(40)


@pytest.fixture(scope="module")
def menu(make_study, kinds):
    return Menu(make_study(depth=(2, 8)).layouts, kinds)


def read(text: str, menu: Menu) -> Layout:
    return complete(parse(text), menu.kinds)


def read_blocks(text: str, menu: Menu) -> list[BlockSpec]:
    return list(read(f"d=32 {text}", menu).blocks)


def changes(mutation, text: str, menu: Menu):
    """(layout before, layout after, words) of a mutation under many seeds."""
    before = read(text, menu)
    for seed in SEEDS:
        after, words = mutation(Random(seed), before, menu)
        yield before, after, words


def test_insert_adds_the_block_it_names_where_it_says(menu):
    for before, after, words in changes(insert_block, "d=64 attn mlp conv mlp", menu):
        text, at = re.fullmatch(r"insert (.+) at (\d+)", words).groups()
        expected = list(before.blocks)
        expected[int(at) : int(at)] = read_blocks(text, menu)
        assert list(after.blocks) == expected


def test_delete_removes_the_block_it_names(menu):
    for before, after, words in changes(delete_block, "d=64 attn mlp conv mlp", menu):
        text, at = re.fullmatch(r"delete (.+) at (\d+)", words).groups()
        expected = list(before.blocks)
        assert [expected.pop(int(at))] == read_blocks(text, menu)
        assert list(after.blocks) == expected


def test_swap_exchanges_the_neighbours_it_names(menu):
    for before, after, words in changes(swap_neighbours, "d=64 attn conv mlp attn", menu):
        one, at, other, next_at = re.fullmatch(r"swap (.+) at (\d+) with (.+) at (\d+)", words).groups()
        at = int(at)
        assert int(next_at) == at + 1
        assert list(before.blocks[at : at + 2]) == read_blocks(f"{one} {other}", menu)
        assert list(after.blocks[at : at + 2]) == read_blocks(f"{other} {one}", menu)
        assert Counter(after.blocks) == Counter(before.blocks)


def test_a_channel_mixer_is_not_swapped_to_the_front(menu):
    assert swap_neighbours(Random(0), read("d=64 attn mlp", menu), menu) is None


def test_substitute_takes_another_kind_of_the_same_role(menu):
    for before, after, words in changes(substitute_block, "d=64 attn mlp conv mlp", menu):
        new, old, at = re.fullmatch(r"substitute (.+) for (.+) at (\d+)", words).groups()
        at = int(at)
        assert [after.blocks[at], before.blocks[at]] == read_blocks(f"{new} {old}", menu)
        assert after.blocks[at].kind != before.blocks[at].kind
        assert menu.role(after.blocks[at]) == menu.role(before.blocks[at]) == "sequence"  # mlp has no peer here


def test_an_option_changes_in_one_block_or_in_every_block_that_has_the_old_value(menu):
    places = set()
    for before, after, words in changes(change_option, "d=64 (attn mlp)x2 attn[n_heads=8]", menu):
        kind, name, old, new, place = re.fullmatch(r"(\w+)\[(\w+) (.+)→(.+)\] (everywhere|at \d)", words).groups()
        having = [at for at, block in enumerate(before.blocks) if (kind, old) == (block.kind, value_of(block, name))]
        changed = having if place == "everywhere" else [int(place[-1])]
        for at in range(before.depth):
            was, now = dict(before.blocks[at].options), dict(after.blocks[at].options)
            if at in changed:
                assert (str(was.pop(name)), str(now.pop(name))) == (old, new)
            assert was == now
        places.add(place)
    assert {"everywhere", "at 4"} <= places


def value_of(block: BlockSpec, name: str) -> str:
    return str(dict(block.options).get(name))


def test_a_width_changes_and_what_fits_stays(menu):
    for _, after, words in changes(change_width, "d=32 (attn mlp)x2", menu):
        assert words == f"d_model 32→{after.d_model}"
        assert after.d_model in (64, 96)
        assert str(after).endswith("(attn[heads_per_kv=1,n_heads=4] mlp[expand=2.0])x2")


def test_an_option_that_no_longer_fits_the_width_is_drawn_anew_and_named(make_study, kinds):
    menu = Menu(
        make_study(d_model=(48, 64), blocks={"attn": {"heads_per_kv": (1,), "n_heads": (3, 8, 16)}}).layouts, kinds
    )
    for _, after, words in changes(change_width, "d=64 (attn[n_heads=16])x3", menu):
        heads = dict(after.blocks[0].options)["n_heads"]
        assert len(set(after.blocks)) == 1, "equal blocks stay equal"
        assert heads in (3, 8)
        assert words == f"d_model 64→48; attn[n_heads=16] becomes attn[n_heads={heads}]"


def test_duplicate_puts_the_copy_behind_its_original(menu):
    for before, after, words in changes(duplicate_unit, "d=64 attn mlp conv", menu):
        text, at = re.fullmatch(r"duplicate (.+) at (\d+)", words).groups()
        unit, at = read_blocks(text, menu), int(at)
        assert list(after.blocks) == [*before.blocks[:at], *unit, *unit, *before.blocks[at + len(unit) :]]


def test_remove_takes_a_whole_unit(menu):
    for before, after, words in changes(remove_unit, "d=64 attn mlp conv mlp attn", menu):
        text, at = re.fullmatch(r"remove (.+) at (\d+)", words).groups()
        unit, at = read_blocks(text, menu), int(at)
        assert list(before.blocks) == [*after.blocks[:at], *unit, *after.blocks[at:]]
        assert menu.role(unit[0]) == "sequence"


def test_at_the_ends_of_the_depth_range_a_layout_neither_shrinks_nor_deepens(menu):
    shallow, deep = read("d=64 attn mlp", menu), read("d=64 (attn mlp)x4", menu)

    assert delete_block(Random(0), shallow, menu) is None
    assert remove_unit(Random(0), shallow, menu) is None
    assert insert_block(Random(0), deep, menu) is None
    assert duplicate_unit(Random(0), deep, menu) is None


def test_a_space_of_one_layout_leaves_nothing_to_change(make_study, kinds):
    space = make_study({"attn": {"n_heads": (4,), "heads_per_kv": (1,)}}, d_model=(64,), depth=(2, 2)).layouts
    menu = Menu(space, kinds)

    assert mutate(Random(0), read("d=64 attn attn", menu), menu) is None


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_outcome_of_every_mutation_is_inside_the_space_once_repaired(data, seed, spaces, kinds):
    rng = Random(seed)
    menu = Menu(data.draw(spaces), kinds)
    layout = random_layout(rng, menu)

    for mutation in MUTATIONS:
        if change := mutation(rng, layout, menu):
            repaired, words = repair(rng, change[0], menu)
            assert menu.contains(repaired)
            assert parse(str(repaired)) == repaired
            assert complete(repaired, kinds) == repaired
            needed = [word for word in words if not word.startswith("from layer")]
            assert needed == [] or menu.role(change[0].blocks[0]) == "channel", "else only layers may need repair"


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_lineage_never_leaves_the_space(data, seed, spaces, kinds):
    rng = Random(seed)
    menu = Menu(data.draw(spaces), kinds)
    layout = random_layout(rng, menu)

    for _ in range(10):
        layout, _ = mutate(rng, layout, menu) or (layout, "")
        assert menu.contains(layout)


def test_every_mutation_takes_part(menu):
    layout = read("d=64 attn mlp conv mlp", menu)
    words = [mutate(Random(seed), layout, menu)[1] for seed in range(200)]

    first = {text.split()[0] for text in words}
    assert first >= {"insert", "delete", "swap", "substitute", "d_model", "duplicate", "remove"}
    assert any("→" in text and "[" in text for text in words)


def test_a_layout_inside_the_space_needs_no_repair(menu):
    layout = read("d=64 attn mlp", menu)

    assert repair(Random(0), layout, menu) == (layout, [])


@pytest.mark.parametrize(
    ("outside", "d_model", "kinds_inside", "words"),
    [
        ("d=72 attn mlp", 64, "attn mlp", "d_model 72→64"),
        ("d=64 attn (mlp)x9", 64, "attn mlp mlp mlp mlp mlp mlp mlp", "cut to 8 blocks"),
        ("d=64 conv", 64, "conv conv", "repeated to 2 blocks"),
        ("d=64 mlp conv attn", 64, "conv mlp attn", "move conv from 1 to 0"),
        ("d=64 mlp mlp", 64, "(attn|conv) mlp", r"substitute .* for mlp at 0"),
        ("d=64 swa mlp", 64, "(attn|conv) mlp", r"swa becomes .*"),
        ("d=64 attn glu", 64, "attn mlp", r"glu becomes mlp.*"),
        ("d=64 attn conv[kernel=5]", 64, "attn conv", r"conv\[kernel=5\] becomes conv.*"),
        ("d=64 attn[n_heads=1] mlp", 64, "attn mlp", r"attn\[n_heads=1\] becomes attn.*"),
    ],
)
def test_repair_changes_what_is_outside_and_says_so(menu, outside, d_model, kinds_inside, words):
    for seed in range(10):
        repaired, said = repair(Random(seed), read(outside, menu), menu)

        assert menu.contains(repaired)
        assert repaired.d_model == d_model
        assert re.fullmatch(kinds_inside, " ".join(block.kind for block in repaired.blocks))
        assert re.fullmatch(words, "; ".join(said))


def test_repair_keeps_the_options_that_can_stay(menu):
    before = read("d=64 attn[heads_per_kv=2,n_heads=16] conv[kernel=7,gated=false]", menu)

    for seed in range(10):
        attn, conv = repair(Random(seed), before, menu)[0].blocks
        assert dict(attn.options)["heads_per_kv"] == 2
        assert conv.options == (("gated", True), ("kernel", 7))


def test_repair_leaves_out_what_the_study_has_no_role_for(make_study, kinds):
    menu = Menu(make_study({"conv": {}}, depth=(1, 4)).layouts, kinds)

    repaired, said = repair(Random(0), read("d=64 (conv mlp)x2", menu), menu)

    assert parse_blocks("conv conv") == shorten(repaired, kinds).blocks
    assert said == ["mlp becomes nothing"]
    assert repair(Random(0), read("d=64 mlp", menu), menu)[0].depth == 1
