"""The founding models train, each in the small form that its own file tells.

The text is that of Python's documentation (source stdlib), the questions are sums.
"""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from growlab.commands import main
from growlab.data.stdlib import read_stdlib
from growlab.doors import read_study_file
from growlab.records import TrialState
from growlab.resources import shipped_studies
from growlab.storage import Store

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


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Texts and questions under the names that the files' comments use."""
    monkeypatch.chdir(tmp_path)
    text = read_stdlib()[:400_000]
    for name in ("corpus.txt", "running.txt", "tinyshakespeare.txt"):
        Path(name).write_text(text)
    Path("dictionary.txt").write_text(text[100_000:160_000])
    Path("stories.txt").write_text(text[200_000:300_000])
    pairs = [{"question": f"{a} plus {b}?", "answer": str(a + b)} for a in range(20) for b in range(10)]
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
