"""Samplers are names with options: growlab's own, and those of plugins."""

from dataclasses import replace

import pytest

from growlab.domains import Range
from growlab.errors import NotRegistered, SpecError
from growlab.plugins import load_plugins
from growlab.records import PastTrial, TrialState
from growlab.samplers import SAMPLERS
from growlab.search import check_space, preview, propose, sampler_options
from growlab.study import SamplerSpec
from growlab.study.column import study_from_column, study_to_mapping

SEARCHED = {"train": {"lr": Range(low=1e-4, high=1e-1, log=True)}}


@pytest.fixture
def climb(repository):
    """The sampler of the documents, registered for one test: a file is loaded once in a process."""
    load_plugins()
    before = dict(SAMPLERS)
    load_plugins([repository / "docs" / "my_sampler.py"])
    yield
    SAMPLERS.reset(before)


def finished(study, kinds, measure, n):
    """A past in which the first trial is the best."""
    return [
        PastTrial(number=at, state=TrialState.COMPLETED, layout=each.spec.layout, params=each.params, value=1.0 + at)
        for at, each in enumerate(preview(study, kinds, measure, n))
    ]


def test_a_random_study_learns_nothing_from_its_past(make_study, kinds, measure):
    study = make_study(**SEARCHED, sampler="random", start_with=("d=32 attn",))
    past = finished(study, kinds, measure, 30)
    worse_first = [replace(trial, value=100.0 - trial.value) for trial in past]

    proposal = propose(study, past, 30, kinds, measure)

    assert proposal.decision.origin == "random"
    assert proposal == propose(study, worse_first, 30, kinds, measure)
    assert proposal.params == propose(study, [], 30, kinds, measure).params
    assert preview(study, kinds, measure, 1)[0].layout == "d=32 attn"


def test_evolution_begins_as_the_random_sampler_does(make_study, kinds, measure):
    first = preview(make_study(**SEARCHED, startup_trials=5), kinds, measure, 5)

    assert first == preview(make_study(**SEARCHED, sampler="random"), kinds, measure, 5)


def test_a_sampler_of_a_plugin_is_checked_stored_and_asked(climb, make_study, kinds, measure):
    study = make_study(**SEARCHED, sampler="climb", patience=3)
    past = finished(study, kinds, measure, 3)

    stored = study_from_column(study_to_mapping(study))

    check_space(study, kinds)
    assert stored.sampler == SamplerSpec(name="climb", options={"patience": 3})
    assert propose(study, past[:2], 2, kinds, measure).decision.origin == "random"
    child = propose(stored, past, 3, kinds, measure)
    assert (child.decision.origin, child.decision.parent) == ("mutation", 0)
    with pytest.raises(SpecError, match=r"sampler\.patience must be at least 1, got 0"):
        make_study(sampler="climb", patience=0)


def test_a_stored_study_whose_sampler_is_not_there_says_so_when_it_is_asked(make_study, kinds, measure):
    study = replace(make_study(), sampler=SamplerSpec(name="gone", options={}))

    with pytest.raises(NotRegistered, match="unknown sampler 'gone'; known: "):
        propose(study, [], 0, kinds, measure)
    with pytest.raises(NotRegistered, match="unknown sampler 'gone'; known: "):
        sampler_options(study)
