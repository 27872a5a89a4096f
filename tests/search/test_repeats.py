"""Repeats: each proposal is trained with several seeds, which all proposals share, and is one to the sampler."""

from dataclasses import replace

import pytest

from growlab.domains import Choice, Range
from growlab.errors import SpecError
from growlab.records import PastTrial, TrialState
from growlab.search import preview, propose
from growlab.search.past import grouped

SEARCHED = {"train": {"lr": Range(low=1e-4, high=1e-1, log=True)}}


def past_of(proposals, values):
    return [
        PastTrial(number=at, state=TrialState.COMPLETED, layout=each.spec.layout, params=each.params, value=value)
        for at, (each, value) in enumerate(zip(proposals, values, strict=True))
    ]


def test_repeats_are_one_proposal_with_seeds_that_all_proposals_share(make_study, kinds, measure):
    proposals = preview(replace(make_study(**SEARCHED), repeats=3), kinds, measure, 9)

    groups = [proposals[at : at + 3] for at in (0, 3, 6)]
    for group in groups:
        assert len({(each.layout, each.spec.train.lr) for each in group}) == 1
        assert len({each.spec.seed for each in group}) == 3
    assert [each.spec.seed for each in groups[0]] == [each.spec.seed for each in groups[1]]
    assert len({group[0].layout for group in groups}) == 3
    assert [each.decision.origin for each in groups[0]] == ["random", "repeat", "repeat"]


def test_each_proposal_is_what_it_is_without_repeats(make_study, kinds, measure):
    once = preview(make_study(**SEARCHED), kinds, measure, 3)

    thrice = preview(replace(make_study(**SEARCHED), repeats=3), kinds, measure, 9)[::3]

    assert [(each.layout, each.params) for each in thrice] == [(each.layout, each.params) for each in once]


def test_a_repeat_is_what_the_first_was_whatever_has_finished_since(make_study, kinds, measure):
    study = replace(make_study(**SEARCHED, startup_trials=1), repeats=2)
    early = preview(study, kinds, measure, 5)
    past = past_of(early, [3.0, 3.1, 1.0, 1.1, 2.0])

    again = propose(study, past, 5, kinds, measure)

    assert (again.layout, again.params) == (early[4].layout, early[4].params)


def test_a_sampler_learns_from_means_over_repeats(make_study, kinds, measure):
    study = replace(make_study(**SEARCHED, startup_trials=2, tournament=9), repeats=2)
    past = past_of(preview(study, kinds, measure, 4), [1.0, 5.0, 2.0, 2.5])  # one lucky seed is no winner

    parents = {propose(replace(study, seed=seed), past, 4, kinds, measure).decision.parent for seed in range(6)}

    assert parents <= {2, None}
    assert 2 in parents


def test_a_proposal_is_over_when_all_its_repeats_are_and_failed_where_one_did():
    def trial(number, state, value=None):
        return PastTrial(number=number, state=state, layout="d=8 attn", value=value)

    past = [
        trial(0, TrialState.COMPLETED, 1.0),
        trial(1, TrialState.COMPLETED, 3.0),
        trial(2, TrialState.COMPLETED, 1.0),
        trial(3, TrialState.DIVERGED),
        trial(4, TrialState.COMPLETED, 1.0),
        trial(5, TrialState.RUNNING),
    ]

    assert [(each.number, each.state, each.value) for each in grouped(past, 2)] == [
        (0, TrialState.COMPLETED, 2.0),
        (1, TrialState.DIVERGED, None),
        (2, TrialState.RUNNING, None),
    ]
    assert grouped(past, 1) is past


def test_a_grid_repeats_each_cell(make_study, kinds, measure):
    study = make_study(start_with=("d=32 attn",), train={"lr": Choice(values=(1e-3, 1e-2))}, sampler="grid", n_trials=4)

    cells = preview(replace(study, repeats=2), kinds, measure, 4)

    assert [each.spec.train.lr for each in cells] == [1e-3, 1e-3, 1e-2, 1e-2]
    assert [each.spec.seed for each in cells[:2]] == [each.spec.seed for each in cells[2:]]


def test_repeats_of_none_are_refused(make_study):
    with pytest.raises(SpecError, match="repeats must be at least 1, got 0"):
        replace(make_study(), repeats=0)
