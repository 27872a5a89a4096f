"""TPE rebuilt from the past: deterministic, quiet, taught by failures, better than random."""

import logging
import math
from pathlib import Path
from random import Random
from statistics import median

import pytest
from forked import printed_elsewhere

from growlab.domains import Choice, Fixed, Range
from growlab.records import PastTrial, TrialState
from growlab.search import scalars
from growlab.study.reference import search_ranges

LR = {"lr": Range(low=1e-5, high=1.0, log=True)}
MIXED = {
    "train": {"lr": search_ranges()["train.lr"], "batch_size": Choice(values=(16, 32)), "dropout": Fixed(value=0.1)},
    "growth": {
        "trigger": Fixed(value="stagnation"),
        "patience": Range(low=3, high=10),
        "entry_scale": Choice(values=(0.0, 1.0)),
        "warmup_steps": Range(low=300, high=800, log=True),
        "operator": Choice(values=("aiether", "identity")),
    },
}


def suggest(study, past, seed):
    """As the study's own sampler asks for them."""
    return scalars.suggest(study, past, seed, startup_trials=study.sampler.options["startup_trials"])


def trial(number, params, value=None, state=TrialState.COMPLETED):
    return PastTrial(number=number, state=state, layout="d=64 attn", params=params, value=value)


def run(study, loss, n_trials, seed=0):
    """The past after n_trials suggestions, told at once; a loss of None is a divergence."""
    past = []
    for number in range(n_trials):
        params = suggest(study, past, 1000 * seed + number)
        value = loss(params)
        state = TrialState.DIVERGED if value is None else TrialState.COMPLETED
        past.append(trial(number, params, value, state))
    return past


def test_all_scalars_but_the_fixed_ones_are_suggested_in_a_fixed_order(make_study):
    assert list(suggest(make_study(**MIXED), [], 1)) == [
        "train.batch_size",
        "train.lr",
        "growth.entry_scale",
        "growth.operator",
        "growth.trigger.stagnation.patience",
        "growth.trigger.stagnation.warmup_steps",
    ]


@pytest.mark.parametrize("n_past", [0, 20])
def test_values_have_the_type_and_the_range_of_their_domain(make_study, n_past):
    study = make_study(**MIXED)
    past = run(study, lambda params: params["train.lr"], n_past)

    for seed in range(10):
        drawn = suggest(study, past, seed)
        assert drawn["train.batch_size"] in (16, 32)
        assert 3e-4 <= drawn["train.lr"] <= 1e-2
        assert type(drawn["train.lr"]) is float
        assert type(drawn["growth.trigger.stagnation.patience"]) is int
        assert 3 <= drawn["growth.trigger.stagnation.patience"] <= 10
        assert type(drawn["growth.entry_scale"]) is float
        assert type(drawn["growth.trigger.stagnation.warmup_steps"]) is int
        assert drawn["growth.operator"] in ("aiether", "identity")


def test_the_same_past_and_seed_give_the_same_suggestion(make_study):
    study = make_study(**MIXED)
    past = run(study, lambda params: params["train.lr"] + params["growth.trigger.stagnation.patience"], 15)

    assert suggest(study, past, 7) == suggest(study, past, 7)
    assert suggest(study, past, 7) == suggest(study, past[::-1], 7)
    assert suggest(study, past, 7) != suggest(study, past, 8)
    assert suggest(study, past, 7) != suggest(study, past[:-1], 7)


def test_the_same_suggestion_comes_from_another_process(make_study):
    code = (
        "import growlab.growth.protocol, growlab.search; from growlab.study.reading import study_from_mapping as read;"
        "from growlab.search.scalars import suggest;"
        "print(suggest(read({'name': 't', 'n_trials': 1, 'budget': {'steps': 1}, 'train': {'lr': 'search'},"
        "'layouts': {'blocks': ['attn'], 'd_model': 8, 'depth': [1, 2]}}), [], 5, startup_trials=8))"
    )
    study = make_study(train={"lr": search_ranges()["train.lr"]})

    assert printed_elsewhere(code, Path(__file__).parent).strip() == str(suggest(study, [], 5))


def test_nothing_is_suggested_where_all_is_fixed(make_study):
    assert suggest(make_study(), [], 1) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"train.lr": 50.0},
        {"train.lr": "fast"},
        {"train.lr": float("nan")},
        {"train.batch_size": 64},
        {"growth.trigger.stagnation.patience": 3.5},
        {"growth.trigger.stagnation.patience": None},
        {"growth.operator": "copy-last"},
    ],
)
def test_a_trial_whose_numbers_no_longer_fit_is_left_out(make_study, changed):
    study = make_study(**MIXED, startup_trials=0)
    drawn = suggest(study, [], 0)
    fit = trial(4, {**drawn, "train.gone": 3}, 1.0)
    missing = trial(0, {"train.lr": drawn["train.lr"]}, 0.5)

    assert suggest(study, [missing, trial(1, {**drawn, **changed}, 0.5), fit], 3) == suggest(study, [fit], 3)


def test_running_trials_push_the_next_one_away(make_study):
    study = make_study(train=LR, startup_trials=4)
    past = run(study, lambda params: abs(math.log10(params["train.lr"]) + 2), 12)
    best = min(past, key=lambda each: each.value)
    running = [trial(20 + i, dict(best.params), state=TrialState.RUNNING) for i in range(8)]

    def distance(past):
        drawn = (suggest(study, past, seed)["train.lr"] for seed in range(15))
        return median(abs(math.log10(lr / best.params["train.lr"])) for lr in drawn)

    assert distance([*past, *running]) > distance(past)


def test_where_trials_diverged_is_not_proposed_again(make_study):
    study = make_study(train=LR, startup_trials=8)
    past = run(study, lambda params: None if params["train.lr"] > 1e-3 else 2.0 + Random(0).random(), 30)

    assert any(each.state is TrialState.DIVERGED for each in past)
    assert all(suggest(study, past, seed)["train.lr"] < 5e-3 for seed in range(20))


def test_tpe_finds_a_good_learning_rate_sooner_than_random(make_study):
    def best_after_25(startup_trials, seed):
        study = make_study(
            train={**LR, "weight_decay": search_ranges()["train.weight_decay"]}, startup_trials=startup_trials
        )
        past = run(study, lambda params: math.log10(params["train.lr"] / 3e-3) ** 2, 25, seed)
        return min(each.value for each in past)

    learnt = median(best_after_25(6, seed) for seed in range(7))
    random = median(best_after_25(25, seed) for seed in range(7))

    assert learnt < random / 2


def test_optuna_says_nothing_and_keeps_the_verbosity_it_had(make_study, caplog, capfd):
    import optuna

    before = optuna.logging.get_verbosity()
    study = make_study(**MIXED)

    with caplog.at_level(logging.DEBUG):
        suggest(study, run(study, lambda params: params["train.lr"], 12), 1)

    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_what_acts_is_told_of_many_names_as_of_each(make_study):
    study = make_study(**MIXED)
    names = tuple(study.scalars())
    for trigger in ("never", "stagnation"):
        for operator in ("aiether", "identity"):
            values = {"growth.trigger": trigger, "growth.operator": operator, "train.lr": 0.1}

            found = scalars.acting_among(names, values)

            assert found == {name for name in names if scalars.acts(name, values)}
