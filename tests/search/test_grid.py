"""A grid: each layout to start with once at each combination of the choices, in an order that nothing changes."""

from itertools import product

import pytest

from growlab.domains import Choice, Range
from growlab.errors import UsageError
from growlab.records import PastTrial, TrialState
from growlab.search import check_space, preview, propose, warnings_for

STARTS = ("d=32 attn", "d=32 conv mlp", "d=64 swa")
LR, BETA2 = (1e-3, 1e-2), (0.9, 0.95, 0.99)
N_CELLS = 18
CHOICES = {"lr": Choice(values=LR), "beta2": Choice(values=BETA2)}


@pytest.fixture
def study(make_study):
    """Three layouts, choices of two and of three values; two trials more than that."""
    return make_study(start_with=STARTS, train=CHOICES, n_trials=N_CELLS + 2, startup_trials=1, sampler="grid")


def cells(proposals):
    return [(each.layout, each.spec.train.beta2, each.spec.train.lr) for each in proposals]


def test_the_first_trials_are_every_layout_at_every_combination(study, kinds, measure):
    check_space(study, kinds)

    first = preview(study, kinds, measure, N_CELLS)

    assert cells(first) == list(product(STARTS, BETA2, LR))
    assert {each.decision.origin for each in first} == {"seed"}
    assert [each.params for each in first[:2]] == [{"train.beta2": 0.9, "train.lr": lr} for lr in LR]
    assert len({each.spec.seed for each in first}) == N_CELLS


def test_what_comes_after_the_grid_is_searched(study, kinds, measure):
    last = preview(study, kinds, measure, N_CELLS + 2)[N_CELLS:]

    assert [each.decision.origin for each in last] == ["random", "random"]  # nothing has finished: there is no parent
    assert all(each.spec.train.lr in LR and each.spec.train.beta2 in BETA2 for each in last)


@pytest.mark.parametrize("number", [0, 7, 17])
def test_no_past_and_no_seed_of_a_study_moves_a_cell(study, make_study, kinds, measure, number):
    other = make_study(start_with=STARTS, train=CHOICES, seed=5, sampler="grid")
    past = [
        PastTrial(number=at, state=TrialState.COMPLETED, layout=each.spec.layout, params=each.params, value=float(-at))
        for at, each in enumerate(preview(study, kinds, measure, N_CELLS))
    ]

    found = [propose(study, [], number, kinds, measure), propose(study, past, number, kinds, measure)]

    assert found[0].spec == found[1].spec
    assert cells(found) == cells([propose(other, [], number, kinds, measure)] * 2)


def test_a_grid_without_choices_is_the_layouts_one_after_the_other(make_study, kinds, measure):
    assert [each.layout for each in preview(make_study(start_with=STARTS, sampler="grid"), kinds, measure, 3)] == [
        *STARTS
    ]


def test_a_study_of_a_grid_alone_need_not_be_able_to_draw_a_layout(make_study, kinds):
    check_space(make_study({}, start_with=STARTS, train=CHOICES, n_trials=N_CELLS, sampler="grid"), kinds)
    with pytest.raises(UsageError, match="needs a sequence mixer"):
        check_space(make_study({}, start_with=STARTS, train=CHOICES, n_trials=N_CELLS + 1, sampler="grid"), kinds)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"start_with": ()}, r"^sampler grid compares the layouts of layouts\.start_with, which names none$"),
        (
            {"train": {"lr": Range(low=1e-3, high=1e-2)}},
            r"^sampler grid needs a list of choices or one value for train\.lr, got a range$",
        ),
    ],
)
def test_a_grid_without_rows_or_without_an_end_is_refused(make_study, kinds, asked, message):
    with pytest.raises(UsageError, match=message):
        check_space(make_study(**({"start_with": STARTS, "sampler": "grid"} | asked)), kinds)


@pytest.mark.parametrize(("n_trials", "warned"), [(N_CELLS - 1, True), (N_CELLS, False)])
def test_a_study_that_ends_inside_its_grid_is_warned_of(make_study, n_trials, warned):
    study = make_study(start_with=STARTS, train=CHOICES, n_trials=n_trials, sampler="grid")

    said = [each for each in warnings_for(study) if "grid" in each]

    assert said == ["n_trials 17 ends before sampler grid does, which has 18 trials"] * warned
