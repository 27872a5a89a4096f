"""Growlab's samplers in an Optuna study that is nobody's but Optuna's, and a study of growlab's as one of Optuna's."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import optuna
import pytest

from growlab.domains import Choice, Range
from growlab.errors import LayoutError, UsageError
from growlab.layout import Layout, flat_options
from growlab.records import PastTrial, TrialState
from growlab.registry import Registry
from growlab.search import preview
from growlab.search.menu import Menu
from growlab.search.optuna.finished import optuna_study_of
from growlab.search.optuna.layout_sampler import LayoutSampler, suggest_layout, suggest_scalars
from growlab.study import LayoutSpace, Objective, Study

SPACE = LayoutSpace(
    blocks={"attn": {}, "conv": {"kernel": (3, 4, 7)}, "mlp": {}, "mix(attn,conv)": {}}, d_model=(32, 64), depth=(2, 8)
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def space(make_study) -> Study:
    return make_study(
        SPACE.blocks,
        d_model=SPACE.d_model,
        train={"lr": Range(low=1e-4, high=1e-1, log=True)},
        growth={
            "trigger": Choice(values=("never", "stagnation")),
            "trigger.stagnation.patience": Range(low=3, high=10),
        },
    )


def loss(layout: Layout) -> float:
    """Made up: wide kernels help, most of all in front, and so do few blocks that are no convolution."""
    wide = [block.kind == "conv" and flat_options(block)["kernel"] == 7 for block in layout.blocks]
    return 2.0 - sum(wide) / len(wide) - 0.5 * wide[0] + layout.d_model / 1000


def objective(kinds, sign: int = 1) -> Callable[[optuna.Trial], float]:
    return lambda trial: sign * loss(suggest_layout(trial, SPACE, kinds=kinds))


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_what_is_good_sooner_than_random_in_a_plain_study(kinds, seed: int) -> None:
    samplers = [LayoutSampler(SPACE, seed=seed, kinds=kinds), optuna.samplers.RandomSampler(seed=seed)]
    studies = [optuna.create_study(sampler=sampler) for sampler in samplers]
    for study in studies:
        study.optimize(objective(kinds), n_trials=40)

    ours, random = (study.best_value for study in studies)

    assert ours < random
    assert ours < 0.75  # of 0.532, the least that there is


def test_a_study_that_maximises_finds_the_same(kinds) -> None:
    lower, higher = (
        optuna.create_study(sampler=LayoutSampler(SPACE, seed=3, kinds=kinds), direction=direction)
        for direction in ("minimize", "maximize")
    )
    lower.optimize(objective(kinds), n_trials=14)
    higher.optimize(objective(kinds, sign=-1), n_trials=14)

    assert [trial.params for trial in higher.trials] == [trial.params for trial in lower.trials]


def test_a_study_that_another_sampler_takes_up_goes_on_the_same(kinds) -> None:
    """Nothing is kept but what Optuna stores."""
    storage = optuna.storages.InMemoryStorage()
    whole, parts = (
        optuna.create_study(study_name=name, storage=storage, sampler=LayoutSampler(SPACE, seed=5, kinds=kinds))
        for name in ("whole", "parts")
    )
    whole.optimize(objective(kinds), n_trials=14)
    parts.optimize(objective(kinds), n_trials=12)

    again = optuna.load_study(study_name="parts", storage=storage, sampler=LayoutSampler(SPACE, seed=5, kinds=kinds))
    again.optimize(objective(kinds), n_trials=2)

    assert [trial.params for trial in again.trials] == [trial.params for trial in whole.trials]


def test_scalars_of_the_space_are_searched_with_the_layout_and_other_parameters_beside_them(kinds, space) -> None:
    sampler = LayoutSampler(space, seed=0, kinds=kinds)
    study = optuna.create_study(sampler=sampler)
    asked = []

    def objective(trial: optuna.Trial) -> float:
        layout, scalars = suggest_layout(trial, space, kinds=kinds), suggest_scalars(trial, space, kinds=kinds)
        asked.append((layout, scalars))
        return loss(layout) + scalars["train.lr"] + trial.suggest_float("own", 0, 1)

    study.optimize(objective, n_trials=20)

    growing = [scalars["growth.trigger"] == "stagnation" for _, scalars in asked]
    assert growing == ["growth.trigger.stagnation.patience" in scalars for _, scalars in asked]
    assert set(growing) == {True, False}
    assert all("own" in trial.params and trial.params["train.lr"] <= 0.1 for trial in study.trials)
    assert all(Menu(space.layouts, kinds).contains(layout) for layout, _ in asked)


def test_running_and_failed_trials_are_taken_into_account(kinds) -> None:
    """Eight workers at once get eight layouts; where everything but narrow layouts fails, few fail later."""
    study = optuna.create_study(sampler=LayoutSampler(SPACE, seed=0, kinds=kinds))
    rng, failed = Random(0), []
    for _ in range(6):
        trials = [study.ask() for _ in range(8)]
        layouts = [suggest_layout(trial, SPACE, kinds=kinds) for trial in trials]
        assert len({*layouts}) == 8
        for trial, layout in rng.sample(list(zip(trials, layouts, strict=True)), 8):
            fails = layout.d_model == 64
            study.tell(trial, None if fails else loss(layout), optuna.trial.TrialState.FAIL if fails else None)
            failed.append(fails)

    assert sum(failed[:16]) >= 4
    assert sum(failed[-16:]) <= 2


def test_layouts_to_start_with_come_first_where_they_are_in_the_space(kinds) -> None:
    inside = "d=64 attn[heads_per_kv=1,n_heads=4] conv[gated=true,kernel=3]"
    space = replace(SPACE, start_with=("d=128 attn conv", inside))
    study = optuna.create_study(sampler=LayoutSampler(space, seed=0, kinds=kinds))

    first = suggest_layout(study.ask(), space, kinds=kinds)

    assert str(first) == inside


def test_any_sampler_of_growlab_s_may_be_asked(kinds) -> None:
    for name in ("random", "evolution", "nsga2"):
        study = optuna.create_study(sampler=LayoutSampler(SPACE, sampler=name, seed=0, kinds=kinds))
        study.optimize(objective(kinds), n_trials=4)
        assert len(study.trials) == 4
    with pytest.raises(UsageError, match="sampler given proposes nothing; ask another one of"):
        LayoutSampler(SPACE, sampler="given", kinds=kinds)


def test_what_cannot_be_searched_is_said_at_once(kinds) -> None:
    with pytest.raises(UsageError, match=r"no block kind is loaded; call growlab\.plugins\.load_plugins\(\) first"):
        LayoutSampler(SPACE, kinds=Registry("block kind"))
    with pytest.raises(UsageError, match=r"layouts\.max_params needs a measure"):
        LayoutSampler(replace(SPACE, max_params=1000), kinds=kinds)
    with pytest.raises(LayoutError, match="no attn fits d_model 17"):
        LayoutSampler(replace(SPACE, d_model=(17,)), kinds=kinds)


@pytest.mark.parametrize("sampler", ["model", "evolution"])
def test_a_study_of_several_objectives_is_searched_for_its_whole_front(kinds, sampler: str) -> None:
    def objectives(trial: optuna.Trial) -> tuple[float, float]:
        layout = suggest_layout(trial, SPACE, kinds=kinds)
        return loss(layout), -layout.depth  # is maximised

    both = ["minimize", "maximize"]
    study = optuna.create_study(sampler=LayoutSampler(SPACE, sampler=sampler, seed=0, kinds=kinds), directions=both)
    control = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), directions=both)
    for each in (study, control):
        each.optimize(objectives, n_trials=24)

    found, at_random = ({tuple(trial.values) for trial in each.best_trials} for each in (study, control))
    assert min(value for value, _ in found) <= min(value for value, _ in at_random)
    assert all(any(one[0] <= other[0] and one[1] >= other[1] for one in found) for other in at_random)


def test_finished_trials_of_several_objectives_have_a_value_and_a_direction_of_each(make_study, kinds) -> None:
    speed = Objective(metric="train_tokens_per_s", direction="maximise")
    study = replace(make_study(SPACE.blocks, d_model=SPACE.d_model), objectives=(Objective(), speed))
    trial = PastTrial(number=0, state=TrialState.COMPLETED, layout="d=32 attn mlp", value=2.0)
    known = replace(trial, metrics={"val_loss": 2.0, "train_tokens_per_s": 7.0})

    found, _ = optuna_study_of(study, [known, replace(trial, number=1)], kinds)

    assert [each.name for each in found.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert [each.values for each in found.trials] == [[2.0, 7.0], None]


def test_finished_trials_are_a_study_of_optuna_s_with_what_matters_most(make_study, kinds, measure) -> None:
    study = make_study(
        {"attn": {"n_heads": (4,)}, "conv": {"kernel": (3, 7)}},
        d_model=(32,),
        depth=(2, 4),
        train={"lr": Range(low=1e-4, high=1e-1, log=True)},
        sampler="random",
    )
    past = [
        PastTrial(
            number=at,
            state=[TrialState.COMPLETED, TrialState.DIVERGED, TrialState.RUNNING][max(at - 97, 0)],
            layout=each.spec.layout,
            params=dict(each.params),
            value=each.spec.train.lr + 0.001 * each.depth if at < 98 else None,
        )
        for at, each in enumerate(preview(study, kinds, measure, 100))
    ]
    outside = replace(past[0], number=100, layout="d=32 swa")

    found, left_out = optuna_study_of(study, [*past, outside], kinds)
    importances = optuna.importance.get_param_importances(found)

    assert left_out == [100]
    assert [str(trial.state.name) for trial in found.trials[97:]] == ["COMPLETE", "FAIL"]
    assert found.best_trial.user_attrs["trial"] == min(past[:98], key=lambda trial: trial.value or 9).number
    assert next(iter(importances)) == "train.lr"
    assert {"depth", "kind_0", "kind_1", "train.lr"} <= set(importances)
