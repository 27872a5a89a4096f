"""docs/optuna.md, whose examples run as they stand, over a study that was trained."""

import re
import warnings
from pathlib import Path
from statistics import fmean

import optuna
import pytest

from growlab import api
from growlab.errors import NotFound

TRIALS = ["n_trials=3", "train.lr={low: 1e-3, high: 1e-2}", "layouts.start_with=[d=16 swa]"]  # swa: not in its space


@pytest.mark.usefixtures("forked")
def test_the_examples_of_the_document_run(repository: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (repository / "docs" / "optuna.md").read_text()
    api.run_to_end("tiny.yaml", TRIALS, "quickstart", threads=1, tell=lambda _: None)
    verbosity = optuna.logging.get_verbosity()
    names: dict[str, object] = {}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the importance of what two trials have in common may be inaccurate
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        for program in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(program, names)
        optuna.logging.set_verbosity(verbosity)

    own, found = names["study"], names["found"]
    assert isinstance(own, optuna.Study)
    assert isinstance(found, optuna.Study)
    values = [float(trial.value or 9) for trial in own.trials]
    assert fmean(values[10:20]) < fmean(values[:8])
    out = capsys.readouterr().out
    assert "left out, as their layouts are not of the study's space: trials 0" in out
    assert out.count("train.lr") == 2
    board = api.leaderboard("quickstart").set_index("trial")
    assert {trial.user_attrs["trial"]: trial.value for trial in found.trials} == dict(board.val_loss.drop(0))


def test_a_study_that_is_not_stored_is_none_of_optuna_s(home: Path) -> None:
    api.create(api.read_study("tiny.yaml"), tell=lambda _: None)

    with pytest.raises(NotFound, match="none"):
        api.optuna_study("none")
