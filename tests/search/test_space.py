"""Which studies are refused or warned of, and what a random layout looks like."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.domains import Choice, Fixed, Range
from growlab.errors import LayoutError, UnknownName, UsageError
from growlab.kinds import complete
from growlab.layout import format_blocks, parse
from growlab.search import check_space, random_layout, warnings_for
from growlab.search.menu import Menu
from growlab.specs import StageSpec

STAGNATION = {"trigger": Fixed(value="stagnation")}


def test_a_sound_study_is_accepted(make_study, kinds):
    study = make_study(
        {"attn": {"n_heads": (4, 5)}, "mlp": {"expand": (1, 2.5)}},
        start_with=("d=192 (attn mlp)x3", "d=64 swa glu"),
        growth={**STAGNATION, "unit": Choice(values=("last", "conv mlp"))},
    )

    check_space(study, kinds)


def test_a_study_of_given_layouts_alone_need_not_be_able_to_draw_one(make_study, kinds):
    check_space(make_study({"mlp": {}}, start_with=("d=64 mlp",), n_trials=1), kinds)


@given(data=st.data())
def test_every_study_of_the_property_tests_is_accepted(data, studies, kinds):
    check_space(data.draw(studies), kinds)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"blocks": {"atn": {}}}, UnknownName, r"unknown block kind 'atn'; known: .*Did you mean 'attn'"),
        ({"blocks": {"attn": {"heads": (4,)}}}, UnknownName, r"unknown option of block kind 'attn' 'heads'; known:"),
        ({"blocks": {"attn": {"n_heads": ("four",)}}}, LayoutError, r"\[n_heads=four\]: n_heads must be of type int"),
        ({"blocks": {"attn": {"n_heads": (4.0,)}}}, LayoutError, "must be of type int"),
        ({"blocks": {"conv": {"gated": (1,)}}}, LayoutError, "must be of type bool"),
        ({"blocks": {"attn": {"n_heads": ()}}}, UsageError, r"layouts\.blocks\.attn\.n_heads must be a value"),
        ({"blocks": {}}, UsageError, r"needs a sequence mixer .*\(attn, conv, swa\), got no blocks"),
        ({"blocks": {"mlp": {}}}, UsageError, r"needs a sequence mixer .*, got mlp"),
        ({"blocks": {"attn": {"n_heads": (5,)}}}, LayoutError, r"no attn fits d_model 32; .*n_heads: 5"),
        ({"depth": (0, 3)}, UsageError, r"layouts\.depth must be .*, got 0 to 3"),
        ({"depth": (2, 10**9)}, UsageError, r"layouts\.depth must be .* <= 4096, got 2 to 1000000000"),
        ({"depth": (4, 3)}, UsageError, r"layouts\.depth must be .*, got 4 to 3"),
        ({"d_model": ()}, UsageError, r"layouts\.d_model must be a width or a list of widths, got none"),
        ({"d_model": (64, 0)}, UsageError, r"layouts\.d_model must be at least 1, got 0"),
        ({"max_params": -1}, UsageError, r"layouts\.max_params must be at least 0"),
        ({"start_with": ("d=64 attn", "d=64 atn")}, LayoutError, r"start_with\[1\]: unknown block kind 'atn'.*'attn'"),
        ({"start_with": ("attn mlp",)}, LayoutError, r"layouts\.start_with\[0\]: .*has no width"),
        ({"start_with": ("d=63 attn",)}, LayoutError, r"start_with\[0\]: attn\[n_heads=4\] does not fit d=63"),
        (
            {"train": {"warmup_fraction": Range(low=0.0, high=0.5), "decay_fraction": Range(low=0.1, high=0.6)}},
            UsageError,
            r"at most 1 whatever is drawn, got up to 0\.5 \+ 0\.6",
        ),
        ({"growth": {"unit": Fixed(value="conv mpl")}}, LayoutError, r"growth\.unit 'conv mpl': unknown .*'mlp'"),
        ({"growth": {"unit": Fixed(value="attn[n_heads=32]")}}, LayoutError, r"growth\.unit .* does not fit d=32"),
        (
            {
                "growth": {**STAGNATION, "max_depth": Range(low=4, high=9)},
                "depth": (1, 2),
                "start_with": ("d=8 (conv)x6",),
            },
            UsageError,
            r"growth\.max_depth must be at least the layout's 6 blocks, got 4",
        ),
        (
            {"growth": {**STAGNATION, "max_depth": Fixed(value=4)}, "depth": (2, 8)},
            UsageError,
            r"growth\.max_depth must be at least the layout's 8 blocks, got 4",
        ),
    ],
)  # fmt: skip
def test_an_unsound_study_is_refused_with_the_key_and_what_it_got(make_study, kinds, asked, error, message):
    study = make_study(**asked)

    with pytest.raises(error, match=message):
        check_space(study, kinds)


def test_max_depth_is_free_where_nothing_grows(make_study, kinds):
    check_space(make_study(growth={"max_depth": Fixed(value=1)}), kinds)


@pytest.mark.parametrize("k", [13, 15])  # from k + 1 > S - 2 on
def test_a_window_without_an_escape_direction_is_warned_of(make_study, k):
    study = make_study(growth={"k_subspace": Fixed(value=k), **STAGNATION})

    assert warnings_for(study) == [
        f"growth.k_subspace {k} with growth.history_window_size 15 leaves no escape direction "
        "(the centred window has rank 13); the term is dead"
    ]


@pytest.mark.parametrize(
    "growth",
    [
        {"k_subspace": Fixed(value=12), **STAGNATION},  # one mode is left: k + 1 = S - 2
        {"k_subspace": Fixed(value=15), "operator.aiether.k_rule": Fixed(value="spectrum"), **STAGNATION},
        {"k_subspace": Fixed(value=15), "operator": Fixed(value="copy-last"), **STAGNATION},
        {"k_subspace": Range(low=5, high=30), **STAGNATION},
        {"k_subspace": Range(low=15, high=30), **STAGNATION},  # a drawn k is cut to the window
    ],
)
def test_a_living_escape_term_is_not_warned_of(make_study, growth):
    assert warnings_for(make_study(growth=growth)) == []


def test_a_window_too_small_for_any_escape_is_warned_of_even_when_k_is_searched(make_study):
    growth = {
        "k_subspace": Range(low=5, high=30),
        "history_window_size": Fixed(value=3),
        "tau_crit": Fixed(value=1.0),
        **STAGNATION,
    }

    [warning] = warnings_for(make_study(growth=growth))

    assert "has rank 1" in warning


def test_searching_growth_that_never_happens_is_warned_of(make_study):
    growth = {"beta0": Range(low=0.1, high=0.2), "operator": Fixed(value="identity")}
    [warning] = warnings_for(make_study(growth=growth))

    assert warning == (
        "growth.trigger is never, so growth.operator identity, searching operator.aiether.beta0 changes nothing; "
        "name a trigger in growth.trigger (at, corrected, probe, slope, stagnation), or leave it out"
    )


def test_a_study_with_no_room_to_grow_is_warned_of(make_study):
    [warning] = warnings_for(make_study(depth=(6, 6), growth={**STAGNATION, "max_depth": Fixed(value=6)}))

    assert "leaves no room to grow" in warning


def test_a_study_that_ends_before_it_learns_is_warned_of(make_study):
    [warning] = warnings_for(make_study(n_trials=9, startup_trials=8, start_with=("d=32 attn",)))

    assert warning.startswith("n_trials 9 ends before the search learns: the first 9 trials")


@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_random_layout_lies_inside_its_space(data, seed, spaces, kinds):
    space = data.draw(spaces)

    layout = random_layout(Random(seed), Menu(space, kinds))

    assert Menu(space, kinds).contains(layout)
    assert complete(layout, kinds) == layout
    assert parse(str(layout)) == layout


def test_most_random_layouts_repeat_a_motif(make_study, kinds):
    space = make_study(depth=(4, 8)).layouts

    texts = [format_blocks(random_layout(Random(seed), Menu(space, kinds)).blocks) for seed in range(200)]

    assert sum(")x" in text for text in texts) > 100


def test_random_layouts_reach_every_width_depth_and_kind(make_study, kinds):
    space = make_study(depth=(1, 6)).layouts
    layouts = [random_layout(Random(seed), Menu(space, kinds)) for seed in range(300)]

    assert {layout.d_model for layout in layouts} == {32, 64, 96}
    assert {layout.depth for layout in layouts} == {1, 2, 3, 4, 5, 6}
    assert set(Counter(block.kind for layout in layouts for block in layout.blocks)) == {"attn", "conv", "mlp"}


def test_equal_seeds_give_equal_layouts_however_the_file_was_ordered(make_study, kinds):
    one = make_study({"attn": {}, "conv": {"kernel": (3, 4), "gated": (True,)}, "mlp": {}}).layouts
    other = make_study({"mlp": {}, "conv": {"gated": (True,), "kernel": (3, 4)}, "attn": {}}).layouts

    assert [random_layout(Random(seed), Menu(one, kinds)) for seed in range(20)] == [
        random_layout(Random(seed), Menu(other, kinds)) for seed in range(20)
    ]


def test_options_that_rarely_fit_are_found(make_study, kinds):
    space = make_study({"attn": {"n_heads": (*range(3, 400, 2), 16)}}, d_model=(32,), depth=(1, 1)).layouts

    layouts = [random_layout(Random(seed), Menu(space, kinds)) for seed in range(20)]

    assert {dict(layout.blocks[0].options)["n_heads"] for layout in layouts} == {16}


@pytest.mark.parametrize("unit", ["last", "conv mlp"])
def test_a_plasticity_that_no_block_has_is_warned_of(make_study, unit):
    stages = (StageSpec(until=1.0, path="", sha256="", plasticity=0.5),)
    study = replace(make_study(growth={"unit": Fixed(value=unit), **STAGNATION}), curriculum=stages)

    [warning] = warnings_for(study)

    assert warning.startswith("curriculum sets a plasticity, which none of this study's blocks has: attn, conv")


def test_a_plasticity_that_is_drawn_and_then_set_is_warned_of(make_study):
    stages = (StageSpec(until=1.0, path="", sha256="", plasticity=0.5),)
    drawn, fixed = (
        replace(make_study({"hebbian": options}), curriculum=stages) for options in ({}, {"plasticity": (1.0,)})
    )

    assert warnings_for(drawn) == [
        "curriculum sets the plasticity of hebbian, so drawing plasticity changes nothing; fix its value"
    ]
    assert warnings_for(fixed) == []


def test_a_plasticity_that_a_block_has_is_not_warned_of(make_study):
    stages = (StageSpec(until=1.0, path="", sha256="", plasticity=0.5),)
    study = make_study(growth={"unit": Fixed(value="hebbian mlp"), **STAGNATION})

    assert warnings_for(replace(study, curriculum=stages)) == []
    assert warnings_for(replace(make_study(), curriculum=(replace(stages[0], path="a.txt", plasticity=0.0),))) == []
