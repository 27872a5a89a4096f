"""How large a space is: counted in closed form where there is one, else one by one; what limits leave of it."""

from dataclasses import replace
from itertools import product

import pytest

from growlab.domains import Choice, Fixed, Range
from growlab.layout import Layout
from growlab.search.extent import count_layouts, extent_of
from growlab.search.menu import Menu
from growlab.study import FromLayer

BLOCKS = {
    "attn": {"n_heads": (2, 4), "heads_per_kv": (1,)},
    "conv": {"kernel": (3,)},
    "mlp": {"expand": (1.0, 2.0)},
}


class Costs:
    """Costs that can be told from a layout's depth alone."""

    def __call__(self, layout):
        return 1000 * layout.depth

    def flops_per_token(self, layout, seq_len):
        return layout.depth

    def state_size(self, layout, seq_len):
        return layout.depth

    def memory(self, layout, train, window):
        return layout.depth * train.batch_size


def listed(menu: Menu, depth: int) -> int:
    """All stacks that fit, one by one, of those that the study could draw."""
    n = 0
    for d_model in menu.space.d_model:
        blocks = [block for name in menu.entries for block in menu.fitting(name, d_model)]
        parts = product(menu.parts("front", d_model), menu.parts("head", d_model))
        n += sum(
            menu.contains(Layout(d_model, stack, front, head))
            for front, head in parts
            for stack in product(blocks, repeat=depth)
        )
    return n


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(
    "preferences",
    [
        {},
        {"at_least_one_of": ("attn",)},
        {"from_layer": FromLayer(layer=(1, 2), below=("attn",), above=("conv",))},
        {"from_layer": FromLayer(layer=(1,), below=("conv", "attn"), above=("conv",)), "at_least_one_of": ("attn",)},
        {"front": ("plain", "patch[size=2]"), "d_model": (32, 64)},
    ],
)
def test_a_count_is_that_of_a_list(make_study, kinds, preferences, depth):
    study = make_study(BLOCKS, d_model=(32,), depth=(1, 3))
    menu = Menu(replace(study.layouts, **preferences), kinds)

    assert count_layouts(menu, depth) == listed(menu, depth)


def test_deep_spaces_are_counted_in_closed_form(make_study, kinds):
    """Sequence mixers have 2 and 1 combinations, the channel mixer 2: 3 may stand first, 5 in each further place."""
    menu = Menu(make_study(BLOCKS, d_model=(32,), depth=(1, 60)).layouts, kinds)

    assert count_layouts(menu, 60) == 3 * 5**59


def test_limits_leave_a_share_with_an_interval_and_sizes_are_of_what_is_left(make_study, kinds):
    train = {
        "batch_size": Choice(values=(1, 2)),
        "lr": Range(low=1e-4, high=1e-2, log=True),
        "seq_len": Fixed(value=64),
    }
    study = make_study(d_model=(32,), depth=(2, 5), train=train)
    study = replace(study, layouts=replace(study.layouts, max_memory=5))

    extent = extent_of(study, kinds, Costs(), 400)

    share, low, high = extent.share
    assert low < share == extent.n_within / 400 < high
    assert 0.03 < high - low < 0.11
    assert extent.exceeded == {"layouts.max_memory": 400 - extent.n_within}
    assert extent.scalars == {"train.batch_size": "2 values", "train.lr": "0.0001 to 0.01"}
    assert {size.name: (size.smallest, size.largest) for size in extent.sizes} == {
        "params": (2000, 5000),
        "grown_params": (2000, 5000),
        "flops_per_token": (2, 5),
        "state": (2, 5),
        "memory": (2, 5),
    }


def test_limits_that_leave_nothing_have_no_sizes(make_study, kinds):
    study = make_study(d_model=(32,), depth=(2, 5), max_params=1)

    extent = extent_of(study, kinds, Costs(), 50)

    assert (extent.n_within, list(extent.sizes)) == (0, [])
    assert extent.share[0] == 0
    assert 0.05 < extent.share[2] < 0.08  # 3.84 / (50 + 3.84)
