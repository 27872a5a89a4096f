"""growlab.api, as a notebook uses it: studies are run for real, by workers in processes of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from growlab import api
from growlab.errors import GrowlabError, NotFound, StorageError
from growlab.records import TrialState
from growlab.running.outcome import Standing
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"


def loaded(program: str, folder: Path) -> tuple[str, set[str]]:
    """What a program prints in a process of its own, and the modules that are loaded at its end."""
    ends = "\nimport sys\nprint('\\n' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program + ends], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out, _, modules = done.stdout.rstrip().rpartition("\n")
    return out, set(modules.split())


def test_the_ten_lines_of_the_documents_run_a_study_without_the_command_room(repository: Path, home: Path) -> None:
    """A smaller study than theirs."""
    text = (repository / "docs" / "notebooks.md").read_text()
    program, of_frames = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    notebook = json.loads((repository / "docs" / "growth.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]

    smaller = [
        part.replace('"quickstart", [', '"tiny.yaml", [').replace("workers=2", "workers=1")
        for part in (program, *cells)
    ]
    frames = of_frames.replace('"quickstart"', '"tiny"')
    out, modules = loaded(smaller[0], home)
    said, _ = loaded("\n".join([frames, *(part.replace('"quickstart"', '"tiny"') for part in smaller[1:-1])]), home)

    assert re.match(r"\d d=16 .* \d+ \d\.\d+", said)
    assert len([line for line in program.splitlines() if line]) <= 10
    assert "created study 'tiny' in sqlite:///growlab.db: 2 trials" in out
    assert "2 of 2 trials done, 0 running, 0 waiting" in out
    assert out.count("trial 0 completed, val_loss ") == 1
    assert re.search(r"rank +trial +layout +val_loss\n0 +1 +\d +d=16 ", out)
    assert (home / "best" / "model.safetensors").is_file()
    assert "growlab.api" in modules
    assert not [name for name in modules if name.startswith(("growlab.commands", "typer"))]


def test_the_door_loads_nothing_heavy_until_it_is_needed(tmp_path: Path) -> None:
    _, at_the_door = loaded("from growlab import api", tmp_path)
    _, with_a_study = loaded("from growlab import api; api.read_study('quickstart')", tmp_path)

    assert not {"torch", "optuna", "pandas", "sqlalchemy", "typer", "pydantic"} & at_the_door
    assert not {"optuna", "pandas", "sqlalchemy", "typer"} & with_a_study  # torch: for the tables of what it names


def test_every_function_of_the_door_is_in_the_documents(repository: Path) -> None:
    text = (repository / "docs" / "notebooks.md").read_text()

    public = [
        name for name, made in vars(api).items() if callable(made) and getattr(made, "__module__", "") == api.__name__
    ]

    assert {"load_study", "read_study", "create", "run", "leaderboard"} <= set(public)
    assert [name for name in public if f"`{name}(" not in text] == []


def test_a_study_is_created_once_with_the_hashes_of_its_texts(home: Path) -> None:
    told: list[str] = []
    stored = api.create(api.read_study("tiny.yaml", name="mine"), tell=told.append)

    with pytest.raises(StorageError, match="mine"):
        api.create(stored, tell=lambda _: None)

    assert stored.data.sha256
    assert told[-1] == "created study 'mine' in sqlite:///growlab.db: 2 trials"
    assert [study["name"] for study in api.studies()] == ["mine"]
    assert api.studies()[0]["counts"]["completed"] == 0


def test_a_run_that_is_stopped_leaves_its_trial_to_a_later_one(home: Path) -> None:
    """A stop is no failure, even of workers that had not begun."""
    api.create(api.read_study("tiny.yaml", ["n_trials=1"]))

    run = api.run("tiny", threads=1)
    run.stop()
    run.wait()

    assert run.n_running() == 0
    assert set(api.leaderboard("tiny").state) <= {TrialState.QUEUED}


def test_workers_that_all_fail_are_an_error_with_their_last_words(home: Path) -> None:
    told: list[str] = []
    study = api.create(api.read_study("tiny.yaml"), tell=told.append)
    run = api.run(study.name, plugins=[home / "nosuch.py"], tell=told.append)

    with pytest.raises(GrowlabError, match="every worker ended with an error"):
        run.wait(told.append)

    assert "nosuch.py" in told[-1]


@pytest.mark.usefixtures("forked")
def test_a_study_is_run_from_its_file_to_its_standing_and_its_best_trial_again(home: Path) -> None:
    told: list[str] = []

    standing = api.run_to_end("tiny.yaml", ["n_trials=1"], "once", threads=1, tell=told.append)
    api.export("once", "best")
    trained = api.train("best", threads=1, output=Path("again"), tell=told.append)

    standing.require_finished()
    assert (standing.study, standing.n_unfinished, [row.rank for row in standing.rows]) == ("once", 0, [1])
    assert standing.lines[0].startswith("best: trial 0, val_loss ")
    assert "created study 'once' in sqlite:///growlab.db" in told
    assert trained.study == "once-0-again"
    assert trained.trial.val_loss == standing.rows[0].val_loss
    assert (home / "again" / "model.safetensors").is_file()


@pytest.mark.slow  # tests/commands/test_slots.py has workers with slots each time
def test_workers_that_serve_a_study_in_slots_leave_it_done(home: Path) -> None:
    told: list[str] = []
    api.create(api.read_study("tiny.yaml", ["n_trials=2"]))

    api.work("tiny", slots=2, max_trials=1, device="cpu", threads=1, tell=told.append)

    assert told[0].startswith("2 worker(s) on study 'tiny'")
    assert list(api.leaderboard("tiny").state) == [TrialState.COMPLETED] * 2


def test_what_is_left_of_a_study_says_how_to_go_on() -> None:
    standing = Standing(study="a", title="", rows=[], lines=[], n_unfinished=2, again="growlab study run a")

    with pytest.raises(GrowlabError, match=r"2 trial\(s\) are not finished; go on with: growlab study run a"):
        standing.require_finished()


def test_a_study_that_is_not_stored_is_not_run(home: Path) -> None:
    Store.open(STORAGE, create=True).close()

    with pytest.raises(NotFound, match="other"):
        api.run("other")
