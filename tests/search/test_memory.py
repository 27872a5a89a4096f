"""What a search keeps of its past changes no decision: it is what a study of Optuna's made anew would say."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from forked import printed_elsewhere

from growlab.domains import Choice, Range, Value
from growlab.records import PastTrial, TrialState
from growlab.search import scalars
from growlab.study import Study
from growlab.study.reference import search_ranges

N_TRIALS = 48
SPACES = {
    "plain": {"train": {"lr": Range(low=1e-5, high=1e-1, log=True), "batch_size": Choice(values=(8, 16, 32))}},
    "whether it grows": {
        "train": {"lr": search_ranges()["train.lr"]},
        "growth": {
            "trigger": Choice(values=("never", "stagnation")),
            "trigger.stagnation.patience": Range(low=3, high=10),
            "entry_scale": Choice(values=(0.0, 1.0)),
        },
    },
    "and how": {
        "train": {"dropout": Choice(values=(0.0, 0.1, 0.3)), "weight_decay": search_ranges()["train.weight_decay"]},
        "growth": {
            "trigger": Choice(values=("never", "stagnation")),
            "operator": Choice(values=("aiether", "copy-last")),
            "operator.aiether.k_subspace": Range(low=5, high=12),
            "operator.aiether.beta0": search_ranges()["growth.operator.aiether.beta0"],
        },
    },
}


def suggest(study: Study, past: Sequence[PastTrial], number: int) -> dict[str, Value]:
    return scalars.suggest(study, past, 1000 + number, startup_trials=4)


def asynchronous(study: Study, number: int = N_TRIALS) -> list[list[PastTrial]]:
    """The past at each of so many decisions: up to five trials run at once, and end in any order, some badly."""
    rng, past, seen = Random(study.seed), list[PastTrial](), list[list[PastTrial]]()
    for at in range(number):
        seen.append(list(past))
        past.append(PastTrial(number=at, state=TrialState.QUEUED, layout="d=64 attn", params=suggest(study, past, at)))
        unfinished = [known.number for known in past if not known.state.is_final]
        past = [replace(known, state=TrialState.RUNNING) if known.number in unfinished else known for known in past]
        for ended in rng.sample(unfinished, max(len(unfinished) - 5, rng.randint(0, 1))):
            state = rng.choice([TrialState.COMPLETED] * 5 + [TrialState.DIVERGED])
            value = rng.random() if state is TrialState.COMPLETED else None
            past[ended] = replace(past[ended], state=state, value=value)
    return seen


def suggested_anew(study: Study, past: Sequence[PastTrial], number: int) -> dict[str, Value]:
    scalars._MEMORIES.clear()
    return suggest(study, past, number)


@pytest.fixture(params=SPACES)
def study(request: pytest.FixtureRequest, make_study) -> Study:
    return make_study(**SPACES[request.param], seed=len(request.param))


def test_a_suggestion_is_the_same_from_a_kept_past_and_from_none(study: Study) -> None:
    pasts = asynchronous(study)
    scalars._MEMORIES.clear()

    kept = [suggest(study, past, at) for at, past in enumerate(pasts)]

    assert kept == [suggested_anew(study, past, at) for at, past in enumerate(pasts)]
    assert kept == [suggest(study, past, at) for at, past in reversed(list(enumerate(pasts)))][::-1]
    assert len({str(params) for params in kept}) > N_TRIALS / 2


def test_a_suggestion_is_that_of_optuna_s_own_sampler_in_a_study_made_of_the_past(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours keeps its trials and looks for no common parameters; theirs is given copies one by one, and does."""
    import optuna

    from growlab.search.optuna import memory, samplers

    pasts = asynchronous(study)
    kept = [suggest(study, past, at) for at, past in enumerate(pasts)]

    def made_anew(past: Sequence[optuna.trial.FrozenTrial], sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        with memory.quiet():
            made = optuna.create_study(sampler=sampler)
        made.add_trials(past)
        return made

    monkeypatch.setattr(memory, "opened", made_anew)
    monkeypatch.setattr(samplers, "Tpe", optuna.samplers.TPESampler)
    assert kept == [suggested_anew(study, past, at) for at, past in enumerate(pasts)]


def test_another_process_suggests_what_this_one_does_from_what_it_kept(make_study) -> None:
    past = asynchronous(make_study(**SPACES["and how"]))[-1]
    code = (
        "import conftest as c, test_memory as t; study = c.study_of(**t.SPACES['and how']);"
        "print(t.suggested_anew(study, t.asynchronous(study)[-1], 99))"
    )

    printed = printed_elsewhere(code, Path(__file__).parent)

    assert printed.strip() == str(suggest(make_study(**SPACES["and how"]), past, 99))


def test_a_trial_is_made_once_and_again_when_it_has_changed() -> None:
    from growlab.search.optuna.memory import Memory, running

    made: list[int] = []

    def read(trial: PastTrial):
        made.append(trial.number)
        return running(trial.number, {}, {}) if trial.number else None

    memory = Memory(read)
    past = [PastTrial(number=at, state=TrialState.RUNNING, layout="d=64 attn") for at in range(3)]
    memory.trials(past)
    memory.trials([replace(past[0]), *past[1:]])
    ended = [*past[:2], replace(past[2], state=TrialState.FAILED)]

    numbers = [trial.number for trial in memory.trials(ended)]

    assert made == [0, 1, 2, 2]
    assert numbers == [2, 3]
