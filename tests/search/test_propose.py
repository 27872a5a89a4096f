"""A proposal is a function of the study, its past and a number; its spec is always one that can run."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median

import pytest
from forked import printed_elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.domains import Choice, Fixed, Range
from growlab.errors import UsageError
from growlab.kinds import complete, shorten
from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.search import check_space, preview, propose
from growlab.search.menu import Menu
from growlab.study.column import trial_spec_from_mapping, trial_spec_to_mapping
from growlab.study.reference import search_ranges

FINAL = (TrialState.COMPLETED, TrialState.DIVERGED, TrialState.FAILED)


def trial_of(proposal, state=TrialState.COMPLETED, value=None):
    decision = proposal.decision
    return PastTrial(
        number=decision.number, state=state, layout=proposal.spec.layout, params=proposal.params, value=value
    )


def run(study, kinds, measure, n_trials, value=lambda proposal: float(proposal.depth)):
    """The past after n trials, one at a time."""
    past = []
    for number in range(n_trials):
        proposal = propose(study, past, number, kinds, measure)
        past.append(trial_of(proposal, value=value(proposal)))
    return past


@settings(max_examples=40)
@given(data=st.data())
def test_every_proposal_of_every_sound_study_can_run(data, studies, kinds, measure):
    study = data.draw(studies)
    rng = Random(data.draw(st.integers(0, 2**32)))
    menu = Menu(study.layouts, kinds)
    past = []
    for number in range(7):
        proposal = propose(study, past, number, kinds, measure)

        layout = parse(proposal.spec.layout)
        assert trial_spec_from_mapping(trial_spec_to_mapping(proposal.spec)) == proposal.spec
        assert complete(layout, kinds) == layout
        assert str(shorten(layout, kinds)) == proposal.layout
        assert complete(parse(proposal.layout), kinds) == layout
        assert proposal.depth == layout.depth
        assert proposal.decision.origin == "seed" or menu.contains(layout)

        state = rng.choice(list(TrialState))
        past.append(trial_of(proposal, state, rng.random() if state is TrialState.COMPLETED else None))


def test_the_same_past_gives_the_same_proposal(make_study, kinds, measure):
    study = make_study(train={"lr": search_ranges()["train.lr"]}, startup_trials=3)
    past = run(study, kinds, measure, 8)

    again = run(study, kinds, measure, 8)

    assert again == past
    assert propose(study, past, 8, kinds, measure) == propose(study, past[::-1], 8, kinds, measure)


@pytest.fixture(scope="module")
def elsewhere():
    """What a process proposes whose sets have another order, and whether it has loaded optuna then."""
    code = (
        "import sys, conftest as c; from growlab.search import preview, propose;"
        "print(propose(c.study_of(), [], 3, c.KINDS, c.n_params));"
        "preview(c.study_of(), c.KINDS, c.n_params); print('optuna' in sys.modules)"
    )
    return printed_elsewhere(code, Path(__file__).parent).splitlines()


def test_another_process_proposes_the_same(make_study, kinds, measure, elsewhere):
    assert elsewhere[0] == str(propose(make_study(), [], 3, kinds, measure))


def test_start_layouts_come_first_then_random_ones_then_children(make_study, kinds, measure):
    study = make_study(start_with=("d=192 (swa mlp)x2", "d=64 attn mlp"), startup_trials=3)
    past, proposals = [], []
    for number in range(40):
        proposals.append(propose(study, past, number, kinds, measure))
        past.append(trial_of(proposals[-1], value=1.0))

    origins = [proposal.decision.origin for proposal in proposals]
    assert origins[:5] == ["seed", "seed", "random", "random", "random"]
    assert [proposal.layout for proposal in proposals[:2]] == ["d=192 (swa mlp)x2", "d=64 attn mlp"]
    assert set(origins[5:]) == {"mutation", "random"}
    assert origins[5:].count("mutation") > 25
    for proposal in proposals[5:]:
        is_child = proposal.decision.origin == "mutation"
        assert (proposal.decision.parent is not None) == (proposal.decision.mutation != "") == is_child


def test_no_layout_is_proposed_twice_while_there_are_new_ones(make_study, kinds, measure):
    past = run(make_study(startup_trials=10), kinds, measure, 80)

    assert len({trial.layout for trial in past}) == 80


def test_a_proposal_says_from_which_past_it_came(make_study, kinds, measure):
    states = [TrialState.RUNNING, TrialState.COMPLETED, TrialState.QUEUED, TrialState.DIVERGED, TrialState.FAILED]
    past = [
        PastTrial(number=number, state=state, layout="d=64 attn mlp", value=1.0 if number == 1 else None)
        for number, state in enumerate(states)
    ]

    decision = propose(make_study(), past[::-1], 5, kinds, measure).decision

    assert decision.finished == (1, 3, 4)
    assert decision.running == (0, 2)
    assert decision.number == 5


def test_proposals_while_others_run_differ(make_study, kinds, measure):
    study = make_study(train={"lr": search_ranges()["train.lr"]}, startup_trials=2)
    past = run(study, kinds, measure, 6)
    proposals = []
    for number in range(6, 16):
        proposals.append(propose(study, past, number, kinds, measure))
        past.append(trial_of(proposals[-1], TrialState.RUNNING))

    assert len({proposal.spec.layout for proposal in proposals}) == 10
    assert len({proposal.params["train.lr"] for proposal in proposals}) == 10
    assert len({proposal.spec.seed for proposal in proposals}) == 10


def test_scalars_learn_from_the_past(make_study, kinds, measure):
    study = make_study(train={"lr": search_ranges()["train.lr"]}, startup_trials=4)
    past = run(study, kinds, measure, 20, value=lambda proposal: proposal.params["train.lr"])

    drawn = [propose(study, past, number, kinds, measure).params["train.lr"] for number in range(20, 35)]

    assert median(drawn) < median(trial.params["train.lr"] for trial in past[:4])
    assert max(drawn) < 5e-3  # lower is better here; the range ends at 1e-2


def test_a_failed_layout_is_not_proposed_again(make_study, kinds, measure):
    study = make_study({"attn": {"n_heads": (2, 4)}, "mlp": {}}, d_model=(32,), depth=(1, 4), startup_trials=3)
    past = [trial_of(each, TrialState.FAILED) for each in preview(study, kinds, measure, 5)]
    failed = {trial.layout for trial in past}

    proposals = [propose(study, past, number, kinds, measure) for number in range(5, 45)]

    assert not failed & {proposal.spec.layout for proposal in proposals}


def test_a_space_of_one_layout_repeats_it_with_another_seed(make_study, kinds, measure):
    study = make_study({"conv": {"kernel": (3,)}}, d_model=(32,), depth=(2, 2), startup_trials=1, tries=5)
    past, seeds = [], set()
    for number in range(4):
        proposal = propose(study, past, number, kinds, measure)
        seeds.add(proposal.spec.seed)
        past.append(trial_of(proposal, value=1.0))

    assert len({trial.layout for trial in past}) == 1
    assert len(seeds) == 4
    assert proposal.decision.mutation == "an earlier layout again"


def test_the_parameter_limit_is_obeyed(make_study, kinds, measure):
    study = make_study(depth=(2, 8), max_params=40_000, startup_trials=5)

    past = run(study, kinds, measure, 30, value=lambda proposal: -proposal.depth)

    assert all(measure(parse(trial.layout)) <= 40_000 for trial in past)


def test_a_limit_below_every_layout_is_an_error_that_names_the_smallest(make_study, kinds, measure):
    study = make_study({"attn": {}}, d_model=(32,), depth=(2, 2), max_params=8_191, tries=10)

    with pytest.raises(UsageError, match=r"layouts\.max_params 8191 allows none of 10 .* 8192 parameters: d=32 \("):
        propose(study, [], 0, kinds, measure)


def test_a_start_layout_beyond_the_limit_is_an_error_that_names_it(make_study, kinds, measure):
    study = make_study(start_with=("d=32 attn", "d=96 (attn)x9"), max_params=5_000)

    with pytest.raises(UsageError, match=r"layouts\.start_with\[1\] has 331776 parameters, more than .* 5000"):
        propose(study, [], 1, kinds, measure)


def test_the_spec_holds_fixed_and_drawn_values_and_the_study_s_data_and_budget(make_study, kinds, measure):
    study = make_study(train={"lr": Choice(values=(0.01, 0.02)), "dropout": Fixed(value=0.2)})

    proposal = propose(study, [], 0, kinds, measure)

    assert proposal.spec.train.lr == proposal.params["train.lr"]
    assert proposal.spec.train.dropout == 0.2
    assert "train.dropout" not in proposal.params
    assert proposal.spec.data.sha256 == study.data.sha256
    assert proposal.spec.budget == study.budget
    assert 0 <= proposal.spec.seed < 2**31


def test_a_drawn_subspace_is_cut_to_the_window_and_the_draw_is_kept(make_study, kinds, measure):
    names = ("operator.aiether.k_subspace", "operator.aiether.ell_orth", "history_window_size")
    growth = {name: search_ranges()[f"growth.{name}"] for name in names}
    study = make_study(growth={"trigger": Fixed(value="stagnation"), **growth})

    for number in range(60):
        proposal = propose(study, [], number, kinds, measure)
        spec, drawn = proposal.spec.growth, proposal.params
        k, ell = (spec.operator.options[name] for name in ("k_subspace", "ell_orth"))
        rank = spec.history_window_size - 2
        assert spec.history_window_size == drawn["growth.history_window_size"]
        assert k == min(drawn["growth.operator.aiether.k_subspace"], max(1, rank - 1))
        assert ell == min(drawn["growth.operator.aiether.ell_orth"], max(1, rank - k))
        assert k + ell <= rank


@pytest.mark.parametrize(
    ("growth", "expected"),
    [
        ({"k_subspace": Fixed(value=15)}, (15, 5)),  # GPT-2's preset, dead term and all: the user is warned
        ({"k_subspace": Fixed(value=12), "history_window_size": Choice(values=(8,))}, (5, 1)),
        ({"k_subspace": Fixed(value=11), "ell_orth": Range(low=4, high=4)}, (11, 2)),
    ],
)
def test_fixed_numbers_stay_as_they_were_written(make_study, kinds, measure, growth, expected):
    study = make_study(growth={"trigger": Fixed(value="stagnation"), **growth})

    options = propose(study, [], 0, kinds, measure).spec.growth.operator.options

    assert (options["k_subspace"], options["ell_orth"]) == expected


def test_seeds_depend_on_the_study_and_the_number_alone(make_study, kinds, measure):
    one = [each.spec.seed for each in preview(make_study(seed=1), kinds, measure)]
    other = [each.spec.seed for each in preview(make_study(seed=2), kinds, measure)]
    wider = [each.spec.seed for each in preview(make_study(seed=1, depth=(1, 9)), kinds, measure)]

    assert len({*one, *other}) == 20
    assert one == wider


def test_a_preview_of_ten_has_ten_layouts_and_starts_like_the_study(make_study, kinds, measure):
    study = make_study(start_with=("d=64 attn mlp",), train={"lr": search_ranges()["train.lr"]})

    proposals = preview(study, kinds, measure)

    assert [each.decision.number for each in proposals] == list(range(10))
    assert len({each.spec.layout for each in proposals}) == 10
    assert proposals[0] == propose(study, [], 0, kinds, measure)
    assert proposals[0].layout == "d=64 attn mlp"


def test_importing_the_room_loads_neither_torch_nor_optuna():
    code = (
        "import sys, growlab.search; print([m for m in ('torch', 'optuna', 'numpy', 'sqlalchemy') if m in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"


def test_a_study_without_searched_scalars_never_loads_optuna(elsewhere):
    assert elsewhere[1] == "False"


# ---- values to start with --------------------------------------------------------------------------------------


SEARCHED = {
    "train": {"lr": Range(low=1e-4, high=1e-2, log=True), "dropout": Fixed(value=0.2)},
    "growth": {
        "trigger": Fixed(value="stagnation"),
        "k_subspace": Range(low=5, high=30),
        "ell_orth": Range(low=3, high=10),
        "operator": Choice(values=("aiether", "copy-last")),
    },
    "start_with": ("d=32 attn mlp", "d=64 attn"),
}
VALUES = {
    "train": {"lr": 1e-3, "dropout": 0.5},
    "growth": {"operator.aiether.k_subspace": 10, "operator.aiether.ell_orth": 5, "operator": "aiether"},
}


def test_layouts_to_start_with_take_the_values_given_and_those_after_them_are_drawn(make_study, kinds, measure):
    study = make_study(**SEARCHED)
    given = replace(study, sampler=replace(study.sampler, start_with=VALUES))

    first, second, drawn = preview(given, kinds, measure, n=3)

    for proposal in (first, second):
        growth = proposal.spec.growth
        assert (proposal.spec.train.lr, proposal.spec.train.dropout) == (1e-3, 0.2), "what is fixed stays"
        # not cut to the window of 15, as a drawn one would be: it was written so
        assert growth.operator.name == "aiether"
        assert (growth.operator.options["k_subspace"], growth.operator.options["ell_orth"]) == (10, 5)
    assert drawn.params["train.lr"] != 1e-3


def test_values_that_are_not_given_are_drawn_for_layouts_to_start_with_too(make_study, kinds, measure):
    study = make_study(**SEARCHED)
    given = replace(study, sampler=replace(study.sampler, start_with={"train": {"lr": 1e-3}}))

    first, second = preview(given, kinds, measure, n=2)

    assert first.params["train.lr"] == second.params["train.lr"] == 1e-3
    assert first.spec.growth.operator != second.spec.growth.operator


def test_a_grid_takes_no_values_to_start_with(make_study, kinds):
    study = make_study(start_with=("d=32 attn",), train={"lr": Choice(values=(1e-3, 1e-2))}, sampler="grid")
    study = replace(study, sampler=replace(study.sampler, start_with={"train": {"lr": 1e-3}}))

    with pytest.raises(UsageError, match=r"leave sampler\.start_with out"):
        check_space(study, kinds)
