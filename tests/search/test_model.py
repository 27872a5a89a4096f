"""The model of layouts and scalars: its arithmetic against closed forms, and what it makes of a past."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from statistics import fmean

import numpy as np
import pytest

from growlab.domains import Choice, Range
from growlab.kinds import complete
from growlab.layout import parse
from growlab.proposal import Proposal
from growlab.records import PastTrial, TrialState
from growlab.search import propose
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model import outlook as outlooks
from growlab.search.model import suggesting
from growlab.search.model.candidates import Breeder, Parent
from growlab.search.model.encoding import Encoding
from growlab.search.model.gaussian_process import Hyperparameters, Posterior, _loss
from growlab.search.model.kernel import group_distances, names_of, prior_of, weighted_distance
from growlab.search.model.outlook import Distances, Tried, chosen, last_milestone, look_ahead
from growlab.search.propose import ask_for
from growlab.study import Study
from growlab.study.sampler_section import read_sampler

LR = Range(low=1e-4, high=1e-1, log=True)


Search = Callable[..., list[PastTrial]]
Propose = Callable[[Study, Sequence[PastTrial], int], Proposal]


def loss(layout: str, params: dict[str, object]) -> float:
    """Made up: convolution helps, most of all at the front; lr has its best at 3e-3; dropout does harm."""
    kinds = [block.kind for block in parse(layout).blocks]
    lr = math.log10(float(params["train.lr"])) + 2.5  # type: ignore[arg-type]
    scalars = 0.3 * lr**2 + float(params["train.dropout"])  # type: ignore[arg-type]
    return 2.0 - 0.2 * kinds.count("conv") / len(kinds) - 0.3 * (kinds[0] == "conv") + scalars


@pytest.fixture(scope="module")
def ask(kinds, measure) -> Propose:
    return lambda study, past, number: propose(study, past, number, kinds, measure)


@pytest.fixture(scope="module")
def search(ask: Propose) -> Search:
    """The first n trials of a study, one after the other, with made up results; inf is a trial that diverged."""

    def searched(study: Study, n: int, result: Callable[..., float] = loss) -> list[PastTrial]:
        past: list[PastTrial] = []
        for number in range(n):
            made = ask(study, past, number)
            value = result(made.spec.layout, dict(made.params))
            past.append(
                PastTrial(
                    number=number,
                    state=TrialState.DIVERGED if math.isinf(value) else TrialState.COMPLETED,
                    layout=made.spec.layout,
                    params=dict(made.params),
                    value=None if math.isinf(value) else value,
                )
            )
        return past

    return searched


@pytest.fixture(scope="module")
def study(make_study) -> Study:
    """A study of attention, convolution, MLP and a nest, with two searched scalars."""
    return make_study(
        {"attn": {}, "conv": {"kernel": (3, 4, 7)}, "mlp": {}, "mix(attn,conv)": {}},
        train={"lr": LR, "dropout": Choice(values=(0.0, 0.1, 0.3))},
        sampler="model",
    )


@pytest.fixture(scope="module")
def past(search: Search, study: Study) -> list[PastTrial]:
    return search(study, 30)


@pytest.fixture
def encoding(study: Study, kinds, measure) -> Encoding:
    return Encoding(study.scalars(), Menu(study.layouts, kinds), measure)


@pytest.fixture
def tried(past: list[PastTrial]) -> list[Tried]:
    return [
        Tried(trial.number, Configuration(parse(trial.layout), trial.params), float(trial.value or 0)) for trial in past
    ]


def forget() -> None:
    suggesting._READERS.clear()
    for kept in (outlooks._learnt, outlooks._learnt_failures, outlooks._distances):
        kept.cache_clear()


# ---- decisions -----------------------------------------------------------------------------------------------


def test_a_decision_is_the_same_from_a_kept_state_and_from_none(
    ask: Propose, study: Study, past: list[PastTrial]
) -> None:
    kept = ask(study, past, 30)
    forget()

    fresh = ask(study, past, 30)

    assert fresh == kept
    assert fresh.decision.origin == "model"


def test_the_order_in_which_the_past_comes_decides_nothing(ask: Propose, study: Study, past: list[PastTrial]) -> None:
    shuffled = Random(0).sample(past, len(past))
    forget()

    assert ask(study, shuffled, 30) == ask(study, past, 30)


def test_it_finds_what_is_good_sooner_than_random_draws(search: Search, study: Study) -> None:
    def best(sampler: str) -> float:
        studies = [replace(study, sampler=read_sampler(sampler), seed=seed) for seed in range(3)]
        return fmean(min(float(trial.value or 9) for trial in search(one, 40)) for one in studies)

    model, blind = best("model"), best("random")

    assert model < 1.57  # of 1.5, the least that there is
    assert model < blind - 0.03


def test_a_decision_says_what_was_expected_and_keeps_to_it(ask: Propose, study: Study, past: list[PastTrial]) -> None:
    made = ask(study, past, 30)

    predicted = made.decision.predicted

    assert predicted is not None
    assert abs(loss(made.spec.layout, dict(made.params)) - predicted.mean) < 5 * predicted.sd + 0.02
    assert predicted.runs == 1.0  # nothing has failed


def test_what_it_cannot_predict_is_left_to_evolution(ask: Propose, search: Search, study: Study) -> None:
    rng = Random(3)
    noise = search(study, 24, lambda layout, params: rng.random())

    origins = {ask(study, noise, number).decision.origin for number in range(24, 34)}

    assert "mutation" in origins


def test_a_random_share_of_one_is_a_random_search(ask: Propose, study: Study, past: list[PastTrial]) -> None:
    blind = replace(study, sampler=read_sampler({"name": "model", "random_share": 1.0}))

    assert ask(blind, past, 30).decision.origin == "random"


def test_a_layout_that_is_too_large_is_not_chosen(ask: Propose, study: Study, past: list[PastTrial], measure) -> None:
    small = replace(study, layouts=replace(study.layouts, max_params=20_000))

    made = ask(small, past, 30)

    assert measure(parse(made.spec.layout)) <= 20_000


def test_it_learns_what_fails(search: Search, study: Study) -> None:
    def fails(layout: str, params: dict[str, object]) -> float:
        return math.inf if float(params["train.lr"]) > 1e-2 else loss(layout, params)  # type: ignore[arg-type]

    past = search(study, 40, fails)

    failed = [trial.number for trial in past if trial.state is TrialState.DIVERGED]

    assert len([number for number in failed if number < 10]) >= 2  # a third of the space fails
    assert len([number for number in failed if number >= 20]) <= 2


def test_running_trials_are_not_proposed_again(ask: Propose, study: Study, past: list[PastTrial]) -> None:
    running = list(past)
    for number in range(30, 38):
        made = ask(study, running, number)
        running.append(
            PastTrial(number=number, state=TrialState.RUNNING, layout=made.spec.layout, params=dict(made.params))
        )

    asked = {(trial.layout, tuple(sorted(trial.params.items()))) for trial in running}

    assert len(asked) == 38


def test_configurations_that_were_tried_follow_a_past_that_grows_ends_and_changes(study, kinds, measure, past) -> None:
    reader = suggesting.Reader(ask_for(study, past, 30, kinds, measure)[0])
    changed = replace(past[3], params={**past[3].params, "train.lr": 0.0123})
    running = replace(past[5], state=TrialState.RUNNING, value=None)
    for known in (past[:10], [*past[:5], running], past, [*past[:3], changed, *past[4:]], past[2:]):
        tried = reader.read(known)

        assert [trial.number for trial in tried] == [trial.number for trial in known]
        assert reader.configurations() == {trial.configuration for trial in tried}
        assert [math.isnan(trial.value) for trial in tried] == [not trial.state.is_final for trial in known]


# ---- arithmetic ----------------------------------------------------------------------------------------------


@pytest.fixture
def codes(encoding: Encoding, tried: list[Tried]):
    return encoding.encode([trial.configuration for trial in tried])


def test_the_slopes_of_the_posterior_density_are_its_differences(encoding, codes, tried) -> None:
    distances, prior = group_distances(encoding, codes, codes), prior_of(encoding)
    values = np.array([trial.value for trial in tried])
    values = (values - values.mean()) / values.std()
    logs = prior.mean + 0.3

    _, slope = _loss(logs, distances, values, prior)

    for at in (0, len(logs) - 3, len(logs) - 2, len(logs) - 1):
        step = np.zeros_like(logs)
        step[at] = 1e-5
        ahead, behind = (_loss(logs + sign * step, distances, values, prior)[0] for sign in (1, -1))
        assert slope[at] == pytest.approx((ahead - behind) / 2e-5, rel=1e-4, abs=1e-5)


def test_what_is_expected_of_a_trial_left_out_is_what_the_others_say(encoding, codes, tried) -> None:
    weighted = weighted_distance(encoding, codes, codes, np.exp(prior_of(encoding).mean[:-2]))
    found = Hyperparameters(np.ones(1), signal=1.3, noise=0.05)
    values = np.array([trial.value for trial in tried])
    left_out = Posterior(weighted, values, found).left_out()

    others = np.arange(len(values)) != 7
    mean, _ = Posterior(weighted[np.ix_(others, others)], values[others], found).predict(weighted[[7]][:, others])

    assert left_out[7] == pytest.approx(mean[0], rel=1e-6)


def test_a_running_trial_moves_no_mean_and_makes_the_model_surer(encoding, codes, tried) -> None:
    weighted = weighted_distance(encoding, codes, codes, np.exp(prior_of(encoding).mean[:-2]))
    found = Hyperparameters(np.ones(1), signal=1.0, noise=0.01)
    values = np.array([trial.value for trial in tried])[:-1]

    mean, sd = Posterior(weighted[:-1, :-1], values, found).predict(weighted[:, :-1])
    mean_then, sd_then = Posterior(weighted, values, found, n_pending=1).predict(weighted)

    assert mean_then == pytest.approx(mean, rel=1e-9)
    assert np.all(sd_then <= sd + 1e-12)
    assert sd_then[-1] < 0.5 * sd[-1]


def test_a_distance_is_the_same_number_kept_or_not_and_either_way_round(encoding, tried) -> None:
    found = Hyperparameters(np.exp(prior_of(encoding).mean[:-2]), 1.0, 0.1)
    configurations = [trial.configuration for trial in tried]
    kept = Distances(encoding, found)
    kept.among(configurations[:10])
    kept.among(configurations[5:20])

    (_, again), (_, anew) = kept.among(configurations), Distances(encoding, found).among(configurations)

    assert np.array_equal(again, anew)
    assert np.array_equal(again, again.T)


def test_distances_of_counts_are_sums_of_differences_and_all_together_those_of_groups(encoding, codes, tried) -> None:
    relevances = np.exp(np.random.default_rng(0).normal(size=len(names_of(encoding))))
    some = encoding.encode([trial.configuration for trial in tried[::2]])
    each = group_distances(encoding, some, codes)

    weighted = weighted_distance(encoding, some, codes, relevances)

    assert weighted == pytest.approx(np.tensordot(relevances, each, 1))
    for at, group in enumerate(encoding.groups, len(encoding.places)):
        if group.sort == "count":
            one, other = (of.columns[of.layout, group.columns] for of in (some, codes))
            assert np.array_equal(each[at], np.abs(one[:, None] - other[None]).sum(axis=2)), group.name


def test_a_configuration_has_the_same_codes_and_distances_alone_and_among_many(encoding, codes, tried) -> None:
    relevances = np.exp(np.random.default_rng(0).normal(size=len(names_of(encoding))))
    together = weighted_distance(encoding, codes, codes, relevances)

    for at, trial in enumerate(tried):
        alone = encoding.encode([trial.configuration])

        assert np.array_equal(alone.columns[0], codes.columns[codes.layout[at]])
        assert np.array_equal(alone.places[0], codes.places[codes.layout[at]])
        assert np.array_equal(weighted_distance(encoding, alone, codes, relevances)[0], together[at])


def test_codes_say_which_kinds_stand_next_to_each_other(encoding, kinds) -> None:
    columns = next(group.columns for group in encoding.groups if group.name == "pairs present")
    texts = ["attn mlp", "attn mlp attn mlp", "attn conv mlp"]
    made = [Configuration(complete(parse(f"d=32 {text}"), kinds), {}) for text in texts]

    pairs = (encoding.encode(made).columns[:, columns] > 0).sum(axis=1).tolist()

    assert pairs == [3, 4, 4], "the ends are neighbours too; what comes twice is one pair"


def test_equal_configurations_are_no_distance_apart_and_others_are(encoding, tried) -> None:
    one = tried[0].configuration
    other = replace(one, params={**one.params, "train.lr": 0.05})

    distances = group_distances(encoding, encoding.encode([one]), encoding.encode([one, other]))[:, 0, :]

    apart = {name for name, distance in zip(names_of(encoding), distances[:, 1], strict=True) if distance > 0}
    assert not distances[:, 0].any()
    assert apart == {"train.lr"}


def test_blocks_that_differ_in_an_option_are_nearer_than_blocks_of_other_kinds(encoding) -> None:
    texts = ["conv[gated=true,kernel=3]", "conv[gated=true,kernel=4]", "attn[heads_per_kv=1,n_heads=4]"]
    some = encoding.encode([Configuration(parse(f"d=32 {text} mlp[expand=2.0]"), {}) for text in texts])

    first_place = group_distances(encoding, some, some)[0]

    assert 0 < first_place[0, 1] < first_place[0, 2] == 1


def test_near_each_other_learning_rates_are_the_square_apart_and_far_from_each_other_the_distance(encoding) -> None:
    """LR spans three decades: shares of its range are thirds of decades."""
    layout = parse("d=32 conv mlp")
    rates = [1e-4 * 10 ** (3 * share) for share in (0, 0.005, 0.01, 0.45, 0.9)]
    some = encoding.encode([Configuration(layout, {"train.lr": rate}) for rate in rates])

    at = names_of(encoding).index("train.lr")
    _, near, twice, far, twice_as_far = group_distances(encoding, some, some)[at, 0]

    assert twice / near == pytest.approx(4, rel=0.01)
    assert twice_as_far / far == pytest.approx(2, rel=0.3)


# ---- what it rests on ----------------------------------------------------------------------------------------


def test_milestones_rise_by_half() -> None:
    assert [last_milestone(number) for number in (3, 8, 11, 12, 17, 18, 26, 27)] == [3, 8, 8, 12, 12, 18, 18, 27]


def test_of_many_trials_the_best_and_the_newest_are_kept_and_some_of_the_others() -> None:
    configuration = Configuration(parse("d=8 attn"), {})
    many = [Tried(number, configuration, abs(number - 500.0)) for number in range(2000)]

    kept = [trial.number for trial in chosen(many, 100)]

    assert len(kept) == len(set(kept)) == 100
    assert set(range(476, 525)) <= set(kept)
    assert set(range(1975, 2000)) <= set(kept)
    assert min(kept) < 50  # and of the old ones that were bad some


def test_of_many_trials_few_others_are_kept_after_the_next_one(tried) -> None:
    rng = Random(0)
    many = [Tried(number, tried[0].configuration, rng.random()) for number in range(2001)]

    before, after = ({trial.number for trial in chosen(many[:n], 500)} for n in (2000, 2001))

    assert len(before) == len(after) == 500
    assert len(after - before) <= 3
    middle = [number for number in sorted(before) if 500 <= number < 1500]
    assert max(later - number for number, later in pairwise(middle)) < 30  # spread over all of them


def test_candidates_lie_in_the_space_and_nobody_tried_them(study, kinds, encoding, tried) -> None:
    menu = Menu(study.layouts, kinds)
    breeder = Breeder(Random(0), study, menu, encoding)
    known = {trial.configuration for trial in tried}
    parents = [Parent(trial.number, trial.configuration) for trial in tried[:10]]

    made = breeder.candidates(parents, 100, known)

    assert all(menu.contains(candidate.configuration.layout) for candidate in made)
    assert {candidate.configuration for candidate in made} & known == set()
    assert len({candidate.configuration for candidate in made}) == len(made) > 80
    assert {set(candidate.configuration.params) == {"train.lr", "train.dropout"} for candidate in made} == {True}


def test_an_outlook_reads_its_noise_from_the_values(encoding, tried) -> None:
    noisy = [replace(trial, value=trial.value + 0.05 * (-1) ** trial.number) for trial in tried]

    quiet, loud = look_ahead(encoding, tried), look_ahead(encoding, noisy)

    assert loud.hyperparameters.noise > quiet.hyperparameters.noise


def test_children_of_a_layout_from_outside_lie_in_the_space_too(study, kinds, encoding) -> None:
    menu = Menu(study.layouts, kinds)
    foreign = Configuration(parse("d=48 swa[heads_per_kv=1,n_heads=4] mlp[expand=2.0]"), {"train.lr": 1e-3})
    breeder = Breeder(Random(0), study, menu, encoding)

    made = breeder.candidates([Parent(0, foreign)], 60, set())

    assert all(menu.contains(candidate.configuration.layout) for candidate in made)
