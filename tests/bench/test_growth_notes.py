"""A preview says of plans like those that were not found to pay that they were not, and of others nothing."""

from typing import Any

import pytest

from growlab.bench.growth_notes import growth_notes
from growlab.kinds import KINDS
from growlab.search import Proposal, preview
from growlab.study.reading import study_from_mapping

LONG = {"flops": 10**15}


def trials(layout: str, growth: Any, *, n_blocks: int, budget: dict[str, int] = LONG) -> list[Proposal]:
    layouts = {"blocks": ["attn", "mlp"], "d_model": 8, "depth": n_blocks, "start_with": [layout]}
    raw = {"name": "s", "n_trials": 1, "data": {"source": "stdlib"}, "budget": budget, "layouts": layouts}
    return list(preview(study_from_mapping(raw | {"growth": growth}), KINDS, lambda layout: 0, 1))


@pytest.mark.parametrize(
    ("layout", "n_blocks", "growth"),
    [
        ("d=8 (attn mlp)x2", 4, "early-double"),
        ("d=8 attn mlp", 2, {"trigger": {"at": {"shares": "0.1 0.2"}}, "factor": 2, "max_depth": 0}),
        ("d=8 attn mlp", 2, False),
        ("d=8 attn mlp", 2, {"trigger": "stagnation"}),  # nobody knows how often
    ],
)
def test_nothing_is_said_of_what_ends_with_four_units_or_does_not_grow(layout: str, n_blocks: int, growth: Any) -> None:
    assert growth_notes(trials(layout, growth, n_blocks=n_blocks), 65) == []


def test_a_model_that_ends_with_few_units_is_told_where_growing_was_found_to_pay() -> None:
    [note] = growth_notes(trials("d=8 attn mlp", "early-double", n_blocks=2), 65)

    assert note.startswith("note: of 1 trial(s) shown that grow, 1 end with fewer than 4 units. Growing was found to")
    assert "benchmarks/results/doubling.txt" in note
    assert "growlab ablate" in note


def test_a_short_training_is_told_too() -> None:
    proposals = trials("d=8 (attn mlp)x2", "early-double", n_blocks=4, budget={"tokens": 2_000_000})

    [note] = growth_notes([*proposals, *trials("d=8 attn mlp", "early-double", n_blocks=2)], 65)

    assert ", 1 end with fewer than 4 units and 1 read fewer than 3M tokens. Growing was found" in note
