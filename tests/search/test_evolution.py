"""Who becomes a parent, what is never proposed twice, and that evolution finds what random draws do not."""

from random import Random
from statistics import median

import pytest

from growlab.errors import UsageError
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.records import PastTrial, TrialState
from growlab.scalar import with_defaults
from growlab.search import propose
from growlab.search.draw import Draw, first_new
from growlab.search.limits import Excess
from growlab.search.menu import Menu
from growlab.search.samplers.evolution import EvolutionOptions, child_of, evolve, pick_parent


def options(**given: int) -> EvolutionOptions:
    return with_defaults(EvolutionOptions, **given)


class Blocks:
    """A limit of blocks, where a study's would need one; 0: none."""

    def __init__(self, most: int) -> None:
        self.most = most

    def excess(self, layout: Layout) -> Excess | None:
        return (
            Excess("layouts.max_params", self.most, layout.depth, "parameters", layout)
            if 0 < self.most < layout.depth
            else None
        )


NO_LIMIT = Blocks(0)


def trial(number: int, value: float | None = None, state: TrialState = TrialState.COMPLETED, layout: str = "d=64 attn"):
    return PastTrial(number=number, state=state, layout=layout, value=value)


def draws_of(*texts: str):
    """A source of draws that goes through the layouts again and again."""
    count = iter(range(10**6))
    return lambda: Draw(layout=parse(texts[next(count) % len(texts)]), origin="random")


def test_the_best_of_the_youngest_has_the_child():
    past = [trial(0, 0.1), *(trial(number, 1.0 + number) for number in range(1, 6))]
    sampler = options(population=3, tournament=3)

    parents = {pick_parent(Random(seed), past, sampler).number for seed in range(20)}

    assert parents == {3}  # 0 is better but old; 4 and 5 are as young but worse


def test_the_order_in_which_the_past_is_told_changes_nothing():
    past = [trial(number, 5.0 - number) for number in range(5)]
    sampler = options(population=4, tournament=2)

    assert [pick_parent(Random(seed), past, sampler) for seed in range(20)] == [
        pick_parent(Random(seed), past[::-1], sampler) for seed in range(20)
    ]


@pytest.mark.parametrize(
    "failure",
    [
        trial(1, None, TrialState.DIVERGED),
        trial(1, 0.01, TrialState.DIVERGED),
        trial(1, None, TrialState.FAILED),
        trial(1, float("nan")),
        trial(1, None),
    ],
)
def test_what_failed_loses_to_every_finite_value(failure):
    past = [failure, trial(2, 1e9)]

    assert pick_parent(Random(0), past, options(tournament=2)).number == 2


def test_failures_alone_have_no_child():
    past = [trial(0, None, TrialState.DIVERGED), trial(1, None, TrialState.FAILED)]

    assert pick_parent(Random(0), past, options()) is None


def test_what_has_not_finished_has_no_child():
    past = [trial(0, None, TrialState.RUNNING), trial(1, None, TrialState.QUEUED)]

    assert pick_parent(Random(0), past, options()) is None


def test_a_child_differs_by_one_or_two_mutations(make_study, kinds):
    menu = Menu(make_study().layouts, kinds)
    parent = complete(parse("d=64 (attn mlp)x2"), kinds)

    counts = {child_of(Random(seed), parent, menu)[1].count(";") for seed in range(60)}

    assert counts >= {0, 1}


def test_a_parent_from_outside_the_space_has_children_inside_it(make_study, kinds):
    menu = Menu(make_study(depth=(2, 4)).layouts, kinds)
    parent = complete(parse("d=160 (swa[n_heads=10] glu)x4"), kinds)

    for seed in range(30):
        child, words = child_of(Random(seed), parent, menu)
        assert menu.contains(child)
        assert words.startswith("d_model 160→96; ")


def test_a_small_share_of_the_draws_ignores_the_past(make_study, kinds):
    menu = Menu(make_study().layouts, kinds)
    past = [trial(0, 1.0, layout="d=64 (attn mlp)x2")]

    origins = [evolve(Random(seed), menu, past, options()).origin for seed in range(300)]

    assert 10 < origins.count("random") < 60


def test_a_tried_layout_is_not_drawn_again_while_there_is_a_new_one():
    past = [trial(0, 1.0, layout="d=8 attn"), trial(1, None, TrialState.RUNNING, layout="d=8 conv")]

    drawn = first_new(draws_of("d=8 attn", "d=8 conv", "d=8 attn attn"), past, 10, NO_LIMIT)

    assert str(drawn.layout) == "d=8 (attn)x2"


def test_an_exhausted_space_repeats_what_did_not_fail():
    past = [trial(0, None, TrialState.DIVERGED, layout="d=8 attn"), trial(1, 3.0, layout="d=8 conv")]

    drawn = first_new(draws_of("d=8 attn", "d=8 conv"), past, 10, NO_LIMIT)

    assert str(drawn.layout) == "d=8 conv"
    assert drawn.words == "an earlier layout again"


def test_a_layout_that_failed_once_and_finished_once_is_no_failure():
    failed = TrialState.FAILED
    past = [
        trial(0, 3.0, layout="d=8 conv"),
        trial(1, None, failed, layout="d=8 conv"),
        trial(2, None, failed, layout="d=8 attn"),
    ]

    assert str(first_new(draws_of("d=8 attn", "d=8 conv"), past, 10, NO_LIMIT).layout) == "d=8 conv"


def test_a_space_of_failures_alone_still_gives_a_trial():
    past = [trial(0, None, TrialState.DIVERGED, layout="d=8 attn")]

    assert str(first_new(draws_of("d=8 attn"), past, 10, NO_LIMIT).layout) == "d=8 attn"


def test_a_layout_with_too_many_parameters_is_passed_over():
    limit = Blocks(2)

    drawn = first_new(draws_of("d=8 (attn)x4", "d=8 (attn)x3", "d=8 (attn)x2"), [], 10, limit)

    assert drawn.layout.depth == 2


def test_a_limit_that_nothing_meets_names_the_smallest_layout():
    limit = Blocks(2)

    with pytest.raises(
        UsageError, match=r"max_params 2 allows none of 10 .* smallest has 3 parameters: d=8 \(attn\)x3"
    ):
        first_new(draws_of("d=8 (attn)x4", "d=8 (attn)x3"), [], 10, limit)


def toy_loss(layout: Layout) -> float:
    """Best: width 64, depth 6, convolutions below, attention above, each with 8 heads, an mlp in every other place."""
    wanted = parse("d=64 (conv mlp)x2 attn[n_heads=8] mlp").blocks
    misses = abs(layout.depth - 6) + (layout.d_model != 64)
    for block, want in zip(layout.blocks, wanted, strict=False):
        misses += (block.kind != want.kind) + 0.5 * (not set(want.options) <= set(block.options))
    return misses


def best_after(n_trials, study, kinds, measure) -> float:
    past: list[PastTrial] = []
    for number in range(n_trials):
        layout = propose(study, past, number, kinds, measure).spec.layout
        past.append(trial(number, toy_loss(parse(layout)), layout=layout))
    return min(each.value for each in past)


def test_evolution_beats_random_draws_on_a_toy_landscape(make_study, kinds, measure):
    evolved = [best_after(120, make_study(seed=seed, startup_trials=8), kinds, measure) for seed in range(3)]
    random = [best_after(120, make_study(seed=seed, startup_trials=120), kinds, measure) for seed in range(3)]

    assert median(evolved) < median(random) / 2
