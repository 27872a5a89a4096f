"""What a space prefers: odds of kinds, a kind that must be there, best guesses of scalars."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from growlab.domains import Range, domain_of, read_domain, write_domain
from growlab.errors import SpecError, UsageError
from growlab.layout import parse, walk
from growlab.records import PastTrial, TrialState
from growlab.search import check_space, propose, random_layout, warnings_for
from growlab.search.menu import Menu
from growlab.search.mutations import substitute_block
from growlab.search.scale import draw_scale
from growlab.study import FromLayer

SAMPLERS = ("random", "evolution", "model")


def preferring(study, **preferences):
    return replace(study, layouts=replace(study.layouts, **preferences))


def first_kinds(study, kinds, n=2000) -> Counter:
    rng, menu = Random(0), Menu(study.layouts, kinds)
    return Counter(random_layout(rng, menu).blocks[0].kind for _ in range(n))


# ---- weights ---------------------------------------------------------------------------------------------------


def test_a_kind_of_weight_three_is_drawn_three_times_as_often(make_study, kinds):
    study = preferring(make_study(), weights={"conv": 3})

    counted = first_kinds(study, kinds)

    assert 0.72 < counted["conv"] / counted.total() < 0.78  # of attn and conv, 3 to 1; 5 standard errors


def test_substitutions_follow_the_odds_too(make_study, kinds):
    study = preferring(make_study({"attn": {}, "conv": {}, "swa": {}}, d_model=(32,)), weights={"conv": 4})
    rng, menu = Random(0), Menu(study.layouts, kinds)
    layout = parse("d=32 attn[heads_per_kv=1,n_heads=2] attn[heads_per_kv=1,n_heads=2]")

    changed = [substitute_block(rng, layout, menu)[0] for _ in range(1000)]

    entered = Counter(block.kind for made in changed for block in made.blocks if block not in layout.blocks)
    assert 0.74 < entered["conv"] / entered.total() < 0.86  # 4 to 1


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"glu": 2}, r"layouts\.weights\.glu must be of layouts\.blocks: attn, conv, mlp, got glu"),
        ({"conv": 0}, r"layouts\.weights\.conv must be above 0"),
        ({"conv": float("inf")}, r"layouts\.weights\.conv must be above 0"),
    ],
)
def test_odds_that_mean_nothing_are_refused(make_study, kinds, weights, message):
    with pytest.raises(UsageError, match=message):
        check_space(preferring(make_study(), weights=weights), kinds)


# ---- at least one of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_proposal_has_one_of_the_kinds_that_must_be_there(make_study, kinds, measure, sampler):
    """Though the objective speaks against them; a nest that holds one will do."""
    blocks = {"conv": {}, "mix(attn,conv)": {}, "swa": {}, "mlp": {}}
    study = make_study(blocks, d_model=(32,), depth=(2, 6), sampler=sampler, start_with=("d=32 conv mlp",))
    study = preferring(study, at_least_one_of=("attn", "swa"))
    past: list[PastTrial] = []

    for number in range(30):
        made = propose(study, past, number, kinds, measure)
        n_recall = sum(held.kind in ("attn", "swa") for block in parse(made.spec.layout).blocks for held in walk(block))
        past.append(
            PastTrial(
                number=number,
                state=TrialState.COMPLETED,
                layout=made.spec.layout,
                params=dict(made.params),
                value=float(n_recall),
            )
        )

    assert past[0].value == 0  # a layout to start with need not
    assert min(trial.value for trial in past[1:]) >= 1
    assert {trial.value for trial in past[20:]} & {1.0}


def test_it_goes_together_with_a_rule_of_layers(make_study, kinds):
    rule = FromLayer(layer=(1, 2), below=("attn",), above=("conv",))
    study = preferring(make_study(d_model=(32,), from_layer=rule), at_least_one_of=("attn",))
    check_space(study, kinds)
    rng, menu = Random(0), Menu(study.layouts, kinds)

    layouts = [random_layout(rng, menu) for _ in range(200)]

    assert all(menu.contains(layout) for layout in layouts)
    assert all(any(block.kind == "attn" for block in layout.blocks) for layout in layouts)


def test_a_space_without_such_a_kind_is_refused(make_study, kinds):
    rule = FromLayer(layer=(2,), below=("conv",), above=("attn",))

    with pytest.raises(UsageError, match=r"layouts\.at_least_one_of must be a sequence mixer .* one of swa, got"):
        check_space(preferring(make_study(), at_least_one_of=("swa",)), kinds)
    with pytest.raises(UsageError, match="unknown block kind 'recall'"):
        check_space(preferring(make_study(), at_least_one_of=("recall",)), kinds)
    with pytest.raises(UsageError, match=r"layouts\.from_layer at layer 2 must be .* in its first layer"):
        check_space(preferring(make_study(from_layer=rule), at_least_one_of=("attn",)), kinds)


# ---- best guesses ----------------------------------------------------------------------------------------------

GUESS = {"low": 1e-4, "high": 1e-2, "log": True, "best_guess": 1e-3, "confidence": "high"}
LR = Range(low=1e-4, high=1e-2, log=True, best_guess=1e-3, confidence="high")


def test_a_best_guess_is_read_and_written_and_a_range_without_one_is_as_it_was():
    read = read_domain("train.lr", GUESS, float, None)

    assert read == LR
    assert write_domain(read) == GUESS
    assert domain_of("train.lr", GUESS) == LR
    assert write_domain(Range(low=1, high=2)) == {"low": 1, "high": 2, "log": False}
    assert read_domain("a", {"low": 1, "high": 9, "best_guess": 3}, int, None).confidence == "medium"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best_guess": 1.0}, r"a\.best_guess must be between low 0\.0001 and high 0\.01, got 1\.0"),
        ({"confidence": "sure"}, r"a\.confidence must be low, medium, high, got 'sure'"),
        ({"best_gues": 1e-3}, r"a\.best_gues: unknown key.*Did you mean 'best_guess'"),
    ],
)
def test_a_guess_that_cannot_be_meant_is_refused(change, message):
    with pytest.raises(SpecError, match=message):
        read_domain("a", GUESS | change, float, None)


def test_confidence_without_a_guess_is_refused():
    with pytest.raises(SpecError, match=r"a\.confidence is that of a best_guess"):
        read_domain("a", {"low": 1, "high": 2, "confidence": "low"}, int, None)


@pytest.mark.parametrize(("confidence", "share"), [("low", 0.28), ("medium", 0.497), ("high", 0.847)])
def test_draws_are_normal_around_the_guess_within_the_range(confidence, share):
    """The share within a tenth of the range: 2 Φ(0.1/sd) − 1, over what the ends leave of the distribution."""
    rng, domain = Random(0), replace(LR, confidence=confidence)

    draws = [draw_scale(rng, domain) for _ in range(4000)]

    assert all(domain.low <= draw <= domain.high for draw in draws)
    assert abs(sum(10**-3.2 < draw < 10**-2.8 for draw in draws) / 4000 - share) < 0.03


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_random_trials_of_every_sampler_follow_the_guess(make_study, kinds, measure, sampler):
    study = make_study(train={"lr": LR}, sampler=sampler)

    drawn = [propose(replace(study, seed=seed), [], 0, kinds, measure).params["train.lr"] for seed in range(40)]

    assert sum(10**-3.3 < lr < 10**-2.7 for lr in drawn) > 34  # ± 0.15 of the range, 2.1 standard deviations: 97 %


def test_a_study_whose_sampler_forgets_a_guess_says_so(make_study, kinds):
    def said(sampler):
        return warnings_for(make_study(train={"lr": LR}, sampler=sampler), kinds)

    assert any("train.lr.best_guess is followed by random draws alone" in warning for warning in said("evolution"))
    assert not any("best_guess" in warning for warning in said("model"))
