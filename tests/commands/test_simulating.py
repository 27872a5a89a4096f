"""growlab study simulate and export-table, as a person calls them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

OBJECTIVE = """
def objective(layout, params, seed):
    return {"val_loss": 2 + params["train.lr"], "flops": 1e9, "elapsed_s": 30}
"""


@pytest.fixture
def simulate(growlab: Callable, home: Path) -> Callable:
    (home / "my.py").write_text(OBJECTIVE)
    return lambda study, *words: growlab("study", "simulate", study, "--table", "my.py:objective", *words)


def test_a_study_in_a_file_is_simulated_for_a_person(simulate: Callable) -> None:
    done = simulate("tiny.yaml", "--set", "n_trials=20", "--workers", "4", "--set", "sampler=random")

    assert done.code == 0, done.err
    title, states, workers, looked_up, *_ = done.out.splitlines()
    assert title == "tiny: 20 trials on 4 workers, 2 min 30 s of virtual time"
    assert states.strip() == "20 completed; 20.0 GFLOPs"
    assert workers.strip() == "workers: 100.0% training, 0.0% idle; each was idle for 0 ms on average"
    assert looked_up.strip() == "trials stand in the table: 20 as they are"
    assert done.out.splitlines()[-1].split()[:4] == ["2", "min", "30", "s"]


def test_all_of_it_is_json_and_the_trials_are_a_table(simulate: Callable, home: Path) -> None:
    words = ("--workers", "3", "--stragglers", "0.3", "--dies-every", "60", "--vocab-size", "40", "--trials", "out.tsv")
    done = simulate("tiny.yaml", "--set", "n_trials=9", "--seed", "5", *words, "--json")

    found = json.loads(done.out)
    assert (found["counts"]["completed"], len(found["trials"]), found["n_workers"]) == (9, 9, 3)
    assert found["n_deaths"] > 0 < found["lost_flops"]
    assert set(found["worker_s"]) == {"training", "idle", "away"}
    assert found["improvements"][-1]["best"] == min(trial["value"] for trial in found["trials"])
    with (home / "out.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [int(row["number"]) for row in rows] == [trial["number"] for trial in found["trials"]]
    assert [float(row["train.lr"]) for row in rows] == [trial["params"]["train.lr"] for trial in found["trials"]]


def test_a_stored_study_is_simulated_with_changes_and_stays_as_it_was(growlab: Callable, simulate: Callable) -> None:
    growlab("study", "create", "tiny.yaml")
    stored = growlab("study", "show", "tiny", "--json").out

    done = simulate("tiny", "--set", "n_trials=5", "--set", "sampler=evolution", "--json")

    assert len(json.loads(done.out)["trials"]) == 5
    assert growlab("study", "show", "tiny", "--json").out == stored
    assert json.loads(growlab("report", "tiny", "--json").out)["trials"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "sampler=given"), "sampler given proposes nothing"),
        (("--set", "train.lrr=1"), "train.lrr: unknown key"),
        (("--stragglers", "inf"), "stragglers must be at least 0, got inf"),
        (("--table", "nosuch.tsv"), "no file 'nosuch.tsv'; give a table of trainings"),
    ],
)
def test_what_cannot_be_simulated_is_the_users_to_mend(simulate: Callable, words: tuple, message: str) -> None:
    done = simulate("tiny.yaml", *words)

    assert done.code == 2
    assert message in done.err


def test_a_study_without_a_training_has_no_table(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")

    done = growlab("study", "export-table", "tiny", "out.tsv")

    assert (done.code, (home / "out.tsv").exists()) == (2, False)
    assert "study 'tiny' has no trial that is over yet" in done.err
