"""The samplers tpe, gp and nsga2: Optuna's own, over whole configurations, as functions of the past."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.domains import Choice, Range
from growlab.kinds import complete
from growlab.layout import parse
from growlab.proposal import Proposal
from growlab.records import PastTrial, TrialState
from growlab.search import check_space, preview, propose, random_layout, warnings_for
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.candidates import draw_scalars
from growlab.search.parameters import ParameterSpace
from growlab.search.scale import from_scale
from growlab.study import FromLayer, Objective, Study

NAMES = ("tpe", "gp", "nsga2")
EARLY = {"tpe": {"startup_trials": 4}, "gp": {"startup_trials": 8}, "nsga2": {"population_size": 4}}
SEARCHED = {
    "train": {"lr": Range(low=1e-4, high=1e-1, log=True), "dropout": Choice(values=(0.0, 0.1, 0.3))},
    "growth": {
        "trigger": Choice(values=("never", "stagnation")),
        "operator": Choice(values=("aiether", "copy-last")),
        "operator.aiether.k_subspace": Range(low=5, high=12),
        "trigger.stagnation.patience": Range(low=3, high=10),
        "max_depth": Choice(values=(12, 16)),
    },
}

Ask = Callable[[Study, Sequence[PastTrial], int], Proposal]


@pytest.fixture(scope="module")
def ask(kinds, measure) -> Ask:
    return lambda study, past, number: propose(study, past, number, kinds, measure)


def value_of(proposal: Proposal) -> float:
    """Made up: the first block is a convolution, and lr is high."""
    return proposal.depth / 10 + (proposal.layout.split()[1].strip("(")[:4] != "conv") - proposal.params["train.lr"]


def searched(ask: Ask, study: Study, n: int) -> list[PastTrial]:
    """So many trials, the last three still running, one in eight of the others failed."""
    rng, past = Random(0), list[PastTrial]()
    for number in range(n):
        made = ask(study, past, number)
        past.append(
            PastTrial(number=number, state=TrialState.RUNNING, layout=made.spec.layout, params=dict(made.params))
        )
        if number >= 3:
            state = TrialState.COMPLETED if rng.random() > 1 / 8 else TrialState.FAILED
            ended = past[number - 3]
            value = rng.random() + len(parse(ended.layout).blocks) if state is TrialState.COMPLETED else None
            past[number - 3] = replace(ended, state=state, value=value)
    return past


def forget() -> None:
    from growlab.search.optuna import whole

    whole._TOLD.clear()


@settings(max_examples=25)
@given(data=st.data())
def test_every_configuration_of_every_space_is_a_setting_and_back(data, studies, kinds) -> None:
    study = data.draw(studies)
    space = ParameterSpace(Menu(study.layouts, kinds), study.scalars())
    rng = Random(data.draw(st.integers(0, 2**32)))

    for _ in range(5):
        drawn = Configuration(random_layout(rng, space.menu), draw_scalars(rng, study.scalars()))
        setting = space.setting(drawn)

        assert setting is not None
        assert space.configuration(setting) == drawn
        assert [known.name for known in space.parameters if known.acts(setting)] == list(setting)


@settings(max_examples=25)
@given(data=st.data())
def test_every_setting_is_a_configuration_of_the_space(data, studies, kinds) -> None:
    study = data.draw(studies)
    space = ParameterSpace(Menu(study.layouts, kinds), study.scalars())
    rng = Random(data.draw(st.integers(0, 2**32)))

    for _ in range(5):
        values = {}
        for known in space.parameters:
            if known.acts(values):
                values[known.name] = from_scale(known.domain, rng.random())
        found = space.configuration(values)

        assert space.menu.contains(found.layout)
        assert space.configuration(values) == found
        assert draw_scalars(rng, study.scalars(), found.params) == found.params, "those that act, and no others"


def test_a_layout_from_outside_of_the_space_is_no_setting(make_study, kinds) -> None:
    study = make_study({"attn": {"n_heads": (2, 4)}, "mlp": {}})
    space = ParameterSpace(Menu(study.layouts, kinds), study.scalars())

    outside = ["d=64 swa mlp", "d=64 attn[n_heads=8] mlp", "d=16 attn mlp", "d=64 (attn mlp)x9", "d=64 mlp attn"]

    assert [space.setting(Configuration(complete(parse(text), kinds), {})) for text in outside] == [None] * 5
    assert space.setting(Configuration(complete(parse("d=64 attn mlp"), kinds), {})) is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_proposal_is_the_same_from_a_kept_past_and_from_none(ask: Ask, make_study, name: str) -> None:
    study = make_study(**SEARCHED, sampler=name, **EARLY[name])
    past = searched(ask, study, 15)

    kept = [ask(study, past[:number], number) for number in (13, 15)]

    for number, proposal in zip((13, 15), kept, strict=True):
        forget()
        assert ask(study, past[:number][::-1], number) == proposal
        assert proposal.decision.origin == "optuna"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_proposal_is_what_optuna_s_own_sampler_says(
    ask: Ask, make_study, name: str, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a study to which the past was added trial by trial, with the generations that Optuna writes down itself."""
    import optuna

    from growlab.search.optuna import samplers, whole

    study = make_study(**SEARCHED, sampler=name, **EARLY[name])
    done = {"state": TrialState.COMPLETED}
    past = [replace(trial, **done, value=float(trial.number % 5)) for trial in searched(ask, study, 14)]
    if several:
        study = replace(study, objectives=(*study.objectives, Objective(metric="params")))
    forget()
    ours = ask(study, past, 14)

    def made_anew(
        past: Sequence[optuna.trial.FrozenTrial], sampler: optuna.samplers.BaseSampler, n_objectives: int
    ) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        made = optuna.create_study(sampler=sampler, directions=["minimize"] * n_objectives)
        assert all(len(trial.values) == 1 + several for trial in past)
        for at, trial in enumerate(past):
            trial.system_attrs["NSGAIISampler:generation"] = at // 4
            made.add_trial(trial)
            trial.system_attrs.clear()
        for generation in range(1, len(past) // 4 + 1) if name == "nsga2" else ():
            sampler.get_parent_population(made, generation)  # as it did for the trials before
        return made

    monkeypatch.setattr(whole, "opened", made_anew)
    for own, theirs in (("Tpe", "TPESampler"), ("Gp", "GPSampler"), ("Nsga2", "NSGAIISampler")):
        monkeypatch.setattr(samplers, own, getattr(optuna.samplers, theirs))
    forget()
    assert ask(study, past, 14) == ours


@pytest.mark.parametrize("name", NAMES)
def test_layouts_stay_within_the_study_s_rules(ask: Ask, make_study, kinds, measure, name: str) -> None:
    """Which mixers stand where, how large a layout is; the space's parameters know of neither."""
    study = make_study(
        {"attn": {}, "conv": {}, "mlp": {}, "mix(attn,conv)": {}},
        d_model=(32, 48, 64),
        front=("plain", "patch[size=2]"),
        from_layer=FromLayer(layer=(1, 2), below=("attn",), above=("conv", "mix(attn,conv)")),
        train={"lr": SEARCHED["train"]["lr"]},
        max_params=60_000,
        sampler=name,
        **EARLY[name],
    )
    check_space(study, kinds)

    layouts = [parse(trial.layout) for trial in searched(ask, study, 10)]

    assert all(Menu(study.layouts, kinds).contains(layout) for layout in layouts)
    assert all(measure(layout) <= 60_000 for layout in layouts)


def test_a_limit_that_hardly_any_setting_keeps_leaves_random_draws(ask: Ask, make_study, measure) -> None:
    study = make_study(train={"lr": SEARCHED["train"]["lr"]}, max_params=8_000, d_model=(32, 96), sampler="tpe", asks=1)

    proposals = [ask(study, [], number) for number in range(6)]

    assert all(measure(parse(each.spec.layout)) <= 8_000 for each in proposals)


@pytest.mark.parametrize("name", NAMES)
def test_layouts_to_start_with_come_first(make_study, kinds, measure, name: str) -> None:
    study = make_study(**SEARCHED, start_with=("d=192 (swa mlp)x2", "d=64 attn mlp"), sampler=name)

    first = preview(study, kinds, measure, 3)

    assert [each.layout for each in first[:2]] == ["d=192 (swa mlp)x2", "d=64 attn mlp"]
    assert first[2].decision.origin == "random"


def test_a_padded_process_learns_of_blocks_that_some_trials_have_not(ask: Ask, make_study, kinds) -> None:
    """In layouts of two to five blocks the fourth and the fifth had best be convolutions, which nobody has tried."""
    blocks = {"attn": {"n_heads": (4,), "heads_per_kv": (1,)}, "conv": {"kernel": (4,)}}
    rng = Random(0)
    stacks = [rng.choices(("attn", "conv"), k=rng.randint(2, 5)) for _ in range(60)]
    stacks = [names for names in stacks if names[3:] != ["conv", "conv"]]
    past = [
        PastTrial(
            number=at,
            state=TrialState.COMPLETED,
            layout=str(complete(parse(f"d=32 {' '.join(names)}"), kinds)),
            value=-float(names[3:].count("conv")),
        )
        for at, names in enumerate(stacks)
    ]

    def share(**options: object) -> float:
        study = make_study(blocks, d_model=(32,), depth=(2, 5), sampler="gp", **options)
        asked = [parse(ask(replace(study, seed=seed), past, len(past)).spec.layout).blocks for seed in range(8)]
        return sum([block.kind for block in stack[3:]] == ["conv", "conv"] for stack in asked) / 8

    assert share(padded=True) > 0.7
    assert share(padded=False) < 0.5


def test_a_study_that_ends_before_a_sampler_learns_is_warned_of(make_study, kinds) -> None:
    warned = warnings_for(make_study(sampler="nsga2", n_trials=40), kinds, 100)

    assert [line for line in warned if "the first 50 trials are start_with layouts and sampler.population_size" in line]
