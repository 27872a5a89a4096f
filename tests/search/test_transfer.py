"""What another study found: the shape of its objective is begun with, not its level; what is of no use is dropped."""

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from growlab.domains import Choice, Fixed, Range
from growlab.errors import UsageError
from growlab.kinds import complete
from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.search import propose
from growlab.search.configuration import Configuration
from growlab.search.model.suggesting import reader_of
from growlab.search.propose import ask_for
from growlab.search.space import check_space
from growlab.study import Transferred
from growlab.study.column import study_from_column, study_to_mapping

LR = Range(low=1e-4, high=1e-1, log=True)


def loss(layout, lr):
    kinds = [block.kind for block in parse(layout).blocks]
    return 2.0 - 0.5 * kinds.count("conv") / len(kinds) - 0.5 * (kinds[0] == "conv") + 0.1 * (math.log10(lr) + 2) ** 2


@pytest.fixture(scope="module")
def study(make_study):
    return make_study(
        {"attn": {}, "conv": {}, "mlp": {}},
        train={"lr": LR, "dropout": Choice(values=(0.0, 0.1))},
        sampler="model",
        startup_trials=4,
    )


@pytest.fixture(scope="module")
def there(make_study, kinds, measure):
    """Trials of another study, which searched the warm-up too, and whose losses have another level and spread."""
    study = make_study({"attn": {}, "conv": {}, "mlp": {}}, train={"lr": LR, "warmup_fraction": LR}, sampler="random")
    past = []
    for number in range(30):
        made = propose(study, past, number, kinds, measure)
        value = 50 + 7 * loss(made.spec.layout, made.params["train.lr"])
        past.append(trial(number, made.spec.layout, made.params, value))
    scalars = {name: domain for name, domain in study.scalars().items() if not isinstance(domain, Fixed)}
    return Transferred(scalars=scalars, trials=tuple(past))


def trial(number, layout, params, value):
    return PastTrial(number=number, state=TrialState.COMPLETED, layout=layout, params=dict(params), value=value)


def lent(study, transferred):
    return replace(study, sampler=replace(study.sampler, transfer_from="there", transferred=transferred))


@pytest.fixture(scope="module")
def past(study, kinds, measure):
    """Four trials of the study's own, the startup."""
    past = []
    for number in range(4):
        made = propose(study, past, number, kinds, measure)
        past.append(trial(number, made.spec.layout, made.params, loss(made.spec.layout, made.params["train.lr"])))
    return past


@pytest.fixture
def transfer(study, there, kinds, measure):
    ask, _ = ask_for(lent(study, there), [], 0, kinds, measure)
    return reader_of(ask).transfer


def test_the_shape_has_no_level_and_ranks_as_the_other_study_does(transfer, kinds) -> None:
    layouts = ["d=64 conv conv mlp", "d=64 conv attn mlp", "d=64 attn conv mlp", "d=64 attn attn mlp"]
    asked = [Configuration(complete(parse(layout), kinds), {"train.lr": 1e-2}) for layout in layouts]

    shape = transfer(asked)

    assert (np.diff(shape) > 0).all()
    assert np.abs(shape).max() < 4  # and not 50
    assert transfer(asked[:1])[0] == shape[0]  # whichever others are asked about


def test_a_decision_begins_with_it_and_the_best_of_the_other_lie_in_this_space(
    study, there, past, transfer, kinds, measure
) -> None:
    made = propose(lent(study, there), past, 4, kinds, measure)
    alone = propose(study, past, 4, kinds, measure)

    assert loss(made.spec.layout, made.params["train.lr"]) < loss(alone.spec.layout, alone.params["train.lr"])
    menu = ask_for(study, past, 4, kinds, measure)[0].menu
    for candidate in transfer.best:
        assert menu.contains(candidate.configuration.layout)
        assert candidate.configuration.params.keys() == {"train.lr", "train.dropout"}
        assert candidate.description.startswith("trial ")


def test_results_that_say_nothing_lend_nothing(study, there, past, kinds, measure) -> None:
    values = [each.value for each in there.trials]
    Random(1).shuffle(values)
    shuffled = tuple(replace(each, value=value) for each, value in zip(there.trials, values, strict=True))

    made = propose(lent(study, replace(there, trials=shuffled)), past, 4, kinds, measure)

    assert made == propose(study, past, 4, kinds, measure)


def test_a_shape_that_does_not_hold_here_is_given_up(study, there, kinds, measure) -> None:
    """The other study's losses are upside down: after some trials the best here is expected to be the best."""
    study = lent(study, replace(there, trials=tuple(replace(each, value=-each.value) for each in there.trials)))
    past = []
    for number in range(16):
        made = propose(study, past, number, kinds, measure)
        past.append(trial(number, made.spec.layout, made.params, loss(made.spec.layout, made.params["train.lr"])))

    best = min(past[8:], key=lambda each: each.value)

    assert parse(best.layout).blocks[0].kind == "conv"
    assert best.value < 1.5


def test_a_decision_is_the_same_from_a_kept_state_and_from_a_row(study, there, past, kinds, measure) -> None:
    study = lent(study, there)
    again = study_from_column(study_to_mapping(study))

    made = propose(study, past, 4, kinds, measure)

    assert again == study
    assert propose(again, past, 4, kinds, measure) == made
    assert (
        "transferred"
        not in study_to_mapping(replace(study, sampler=replace(study.sampler, transferred=None)))["sampler"]
    )


def test_a_sampler_without_a_model_refuses_it(make_study, kinds) -> None:
    study = make_study({"conv": {}, "mlp": {}}, sampler="tpe", transfer_from="there")

    with pytest.raises(UsageError, match=r"sampler.transfer_from 'there': sampler tpe has no model.*name: model"):
        check_space(study, kinds)
