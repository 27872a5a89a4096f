"""The founding models train, each in the small form that its own file tells.

The text is that of Python's documentation (source stdlib), the questions are sums.
"""

import re
import shlex
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

from growlab.commands import main
from growlab.data.stdlib import read_stdlib
from growlab.kinds import KINDS
from growlab.layout import parse
from growlab.records import TrialState
from growlab.resources import shipped_studies
from growlab.search import preview, warnings_for
from growlab.storage import Store
from growlab.study.file import read_study_file

FOUNDING = {name: path for name, path in shipped_studies().items() if name.startswith("founding/")}


def small_form(path: Path) -> list[str]:
    """The command that the file's first comment gives for a CPU, its lines joined."""
    comment = "\n".join(line[1:] for line in path.read_text().splitlines() if line.startswith("#"))
    commands = re.findall(r"growlab (study run founding/.*(?:\n {5}--set .*)*)", comment)
    (small,) = (each for each in commands if "start_with" in each)
    return shlex.split(small)


def overrides(words: list[str]) -> list[str]:
    return [value for word, value in pairwise(words) if word == "--set"]


def test_the_five_are_there():
    assert sorted(FOUNDING) == [
        f"founding/{name}" for name in ("aether", "aetheris", "agiformer", "aiether", "hopfield")
    ]


@pytest.mark.parametrize("name", FOUNDING)
def test_a_study_is_read_whole_and_small(name):
    path = FOUNDING[name]
    study = read_study_file(path, ["data.path=somewhere.txt"])

    assert study.name == name.removeprefix("founding/")
    assert read_study_file(path, overrides(small_form(path))).n_trials == 1


BEGINS = {  # what each project did, as far as it is known
    "aether": {
        "layout": "d=512 (router(conv[kernel=3]))x6 head=hebbian_head",
        "train": {"lr": 1e-4, "weight_decay": 0.01, "batch_size": 16, "dropout": 0.0, "beta2": 0.999}
        | {"warmup_fraction": 0.0, "decay_fraction": 0.0},
        "budget": ("steps", 20 * 200),
    },
    "aetheris": {
        "layout": "d=768 (mamba[kernel=3] moe[expand=3.0,n_experts=4,top_k=1])x12",
        "train": {"lr": 1e-4, "weight_decay": 0.01, "batch_size": 2, "seq_len": 512, "grad_clip": 0.5, "beta2": 0.95}
        | {"warmup_fraction": 0.0, "decay_fraction": 0.0},
        "budget": ("tokens", 50_000 * 2 * 512),
    },
    "agiformer": {
        "layout": "d=512 front=patch[decoder=independent] (mix(swa[n_heads=8],hebbian[n_heads=8]) mlp[expand=4.0])x6 "
        "act(mlp[activation=gelu,expand=4.0])",
        "train": {"lr": 3e-4, "weight_decay": 0.01, "batch_size": 4, "seq_len": 1024, "grad_clip": 0.5, "dropout": 0.1}
        | {"warmup_fraction": 100 / 20_000, "decay_fraction": 0.0},
        "budget": ("steps", 20_000),
    },
    "aiether": {
        "layout": "d=384 attn[n_heads=6] mlp[expand=4.0]",
        "train": {"lr": 5e-4, "weight_decay": 0.01, "batch_size": 8, "dropout": 0.1, "eval_every": 500}
        | {"decay_shape": "cosine"},
        "growth": {"operator": "aiether", "entry_scale": 1.0, "trigger": "stagnation", "unit": "last"}
        | {"beta0": 0.1, "gamma0": 0.15, "eta0": 0.03, "k_subspace": 10, "ell_orth": 5, "patience": 5}
        | {"threshold": 0.15, "tau_crit": 2.0, "kappa_crit": 0.5, "warmup_steps": 400, "freeze_steps": 400}
        | {"history_window_size": 15, "collect_interval_steps": 100, "cooldown_steps": 0, "max_depth": 12},
        "budget": ("flops", 3 * 10**15),
    },
    "hopfield": {"layout": "d=192 (attn mlp)x5 hopfield mlp (mix(attn,ssm) mlp)x2", "budget": ("steps", 5000)},
}


@pytest.mark.parametrize("name", BEGINS)
def test_a_founding_study_begins_with_what_its_project_did(name):
    study = read_study_file(FOUNDING[f"founding/{name}"], ["data.path=somewhere.txt"])
    known = BEGINS[name]

    [first] = preview(study, KINDS, lambda layout: 0, n=1)

    assert parse(first.layout) == parse(known["layout"])
    assert (first.spec.budget.unit, first.spec.budget.amount) == known["budget"]
    growth = first.spec.growth
    began = {"train": asdict(first.spec.train), "growth": asdict(growth) | growth.trigger.options}
    began["growth"] |= {**growth.operator.options, "trigger": growth.trigger.name, "operator": growth.operator.name}
    for section, values in began.items():
        expected = known.get(section, {})
        assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("name", FOUNDING)
def test_a_founding_study_is_not_warned_of(name):
    assert warnings_for(read_study_file(FOUNDING[name], ["data.path=somewhere.txt"])) == []


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Texts and questions under the names that the files' comments use."""
    monkeypatch.chdir(tmp_path)
    text = read_stdlib()[:400_000]
    for name in ("corpus.txt", "running.txt", "tinyshakespeare.txt"):
        Path(name).write_text(text)
    Path("dictionary.txt").write_text(text[100_000:160_000])
    Path("stories.txt").write_text(text[200_000:300_000])
    pairs = [{"question": f"{a} plus {b}?", "answer": str(a + b)} for a in range(60) for b in range(20)]
    Path("pairs.json").write_text(str(pairs).replace("'", '"'))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUNDING)
def test_a_founding_model_learns_in_its_small_form(name, home, monkeypatch):
    words = small_form(FOUNDING[name])
    monkeypatch.setattr("sys.argv", ["growlab", *words])

    with pytest.raises(SystemExit) as leaving:
        main()

    assert not leaving.value.code
    with Store.open(f"sqlite:///{home / 'growlab.db'}") as store:
        study = store.study(name.removeprefix("founding/"))
        (trial,) = store.trials(study.id)
        losses = [each.value for each in store.metrics(trial.id) if (each.split, each.name) == ("val", "loss")]
    assert trial.state is TrialState.COMPLETED, "a leak would be its own state"
    assert losses[-1] < losses[0]
    assert name != "founding/aiether" or trial.depth_end > trial.depth_start, "it is about growth"
    print(f"{name}: {trial.layout} {losses[0]:.3f} to {losses[-1]:.3f}")


def test_the_preset_of_the_founding_method_is_how_its_study_begins():
    def first(*overrides):
        study = read_study_file(FOUNDING["founding/aiether"], ["data.path=somewhere.txt", *overrides])
        return preview(study, KINDS, lambda layout: 0, n=1)[0].spec.growth

    assert first("growth=aiether", "sampler.start_with={}") == first()
