"""growlab ablate: a real ablation from its file to its verdicts, stopped half-way, and gone on with."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from growlab import api
from growlab.ablate.cells import Cell
from growlab.running import ablation
from growlab.running.ablation import read_and_prepare
from growlab.storage import Store, TrialRow

FILE = """
    name: tiny
    data: {path: corpus.txt, val_fraction: 0.1}
    train: {batch_size: 2, seq_len: 16, eval_every: 1000, precision: fp32}
    budget: {flops: 2e7}
    repeats: 2
    arms:
      grown: {layout: "d=8 attn[n_heads=2] mlp", growth: early-double}
      final: {layout: {final_depth_of: grown}}
    against: final
    primary: [grown]
"""


@pytest.fixture
def file(home: Path) -> str:
    (home / "corpus.txt").write_text("to be or not to be, that is the question. " * 40)
    (home / "ablation.yaml").write_text(dedent(FILE))
    return "ablation.yaml"


def test_a_dry_run_shows_what_would_be_trained_and_stores_nothing(growlab, home: Path, file: str) -> None:
    outcome = growlab("ablate", file, "--dry-run")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "stage\tarm\tbudget\ttrainings\tflops",
        "repeat\tgrown\t1\t2\t40000000",
        "repeat\tfinal\t1\t2\t40000000",
    ]
    assert not list(home.glob("*.db"))


def test_an_ablation_goes_on_to_its_verdicts_and_is_read_again_without_training(growlab, home: Path, file: str) -> None:
    half = growlab("ablate", file, "--set", "repeats=1", "--json")
    on = growlab("ablate", file, "--json")
    read = growlab("ablate", file, "--read", "--json")
    rows = growlab("ablate", file, "--read", "--rows")
    again = growlab("ablate", file, "--json")

    assert [outcome.code for outcome in (half, on, read, again)] == [0] * 4
    assert [arm["n"] for arm in json.loads(half.out)["arms"]] == [1, 1]
    assert "2 new trainings, 2 to do" in on.err
    assert "new trainings" not in again.err
    found = json.loads(on.out)
    assert found == json.loads(read.out) == json.loads(again.out)
    grown, final = found["arms"]
    assert (grown["arm"], grown["n"], grown["depth"], final["depth"]) == ("grown", 2, 4, 4)
    assert grown["verdict"] in ("better", "worse", "equal", "cannot tell")
    assert final["verdict"] is None
    assert abs(grown["flops"] / final["flops"] - 1) < 0.15  # whole steps of a tiny budget
    assert len(rows.out.splitlines()) == 1 + 4

    assert api.ablate(file, tell=lambda note: None) == found  # a notebook reads the same, and trains nothing either

    changed = growlab("ablate", file, "--set", "arms.grown.growth={preset: early-double, entry_scale: 0.5}")

    assert changed.code == 2
    assert "arm 'grown' of study 'tiny' was another one when trial 0 was made" in changed.err
    with sqlite3.connect(home / "growlab.db") as database:
        assert database.execute("select count(*) from gl_trials").fetchone() == (4,)


@pytest.mark.slow
def test_an_ablation_that_was_stopped_is_the_ablation_that_was_not(growlab, home: Path, file: str) -> None:
    whole = growlab("ablate", file, "--json", "--name", "whole")
    growlab("ablate", file, "--name", "half", "--set", "repeats=1")
    on = growlab("ablate", file, "--json", "--name", "half")

    def losses(outcome) -> list[float]:
        return [arm["val_loss"] for arm in json.loads(outcome.out)["arms"]]

    assert losses(on) == losses(whole)


def test_a_file_that_is_none_is_one_line(growlab, home: Path) -> None:
    outcome = growlab("ablate", "gone.yaml")

    assert (outcome.code, outcome.err) == (2, "error: gone.yaml: no such file\n")


def test_to_plan_and_to_read_are_not_asked_for_at_once(growlab, home: Path, file: str) -> None:
    outcome = growlab("ablate", file, "--dry-run", "--read")

    assert outcome.code == 2
    assert outcome.err.endswith("leave out --read, or --dry-run\n")


def test_what_to_beware_of_is_told_of_every_arm_by_its_name(growlab, home: Path, file: str) -> None:
    late = "{layout: 'd=8 attn[n_heads=2] mlp', growth: {trigger: stagnation}}"

    outcome = growlab("ablate", file, "--dry-run", "--set", f"arms.late={late}")

    assert "warning: arm 'late': nothing can grow: growth.warmup_steps 400 leaves none of the budget's" in outcome.err
    assert "warning: arm 'final'" not in outcome.err


def test_a_study_of_given_trials_that_is_no_ablation_is_refused(growlab, home: Path, file: str) -> None:
    prepared = read_and_prepare(Path(file), (), "", (), lambda note: None)
    foreign = [replace(planned, params={"train.lr": 1e-3}) for planned in prepared.planned()]
    with Store.open(f"sqlite:///{home}/growlab.db", create=True) as store:
        store.create_study(replace(prepared.study, n_trials=len(foreign)), foreign)

    for words in ([], ["--read"]):
        outcome = growlab("ablate", file, *words)

        assert outcome.code == 2
        assert outcome.err.endswith(
            "error: study 'tiny' is there already, and trial 0 of it says that it is no ablation: a trial without "
            "stage, arm, budget, repeat is no training of an ablation; choose another --name\n"
        )


def test_two_at_once_queue_each_training_once(home: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one queues its own between the moments at which this one reads trials and adds some."""
    prepared = read_and_prepare(Path(file), (), "", (), lambda note: None)
    fewer = read_and_prepare(Path(file), ["repeats=1"], "", (), lambda note: None)
    with Store.open(f"sqlite:///{home}/growlab.db", create=True) as store:
        row = ablation.find_or_create(store, prepared, lambda note: None)
        honest, n_new = store.trials, []

        def trials(study_id: int) -> list[TrialRow]:
            found = honest(study_id)
            monkeypatch.setattr(store, "trials", honest)
            n_new.append(ablation.enqueue_missing(store, row, fewer))
            return found

        monkeypatch.setattr(store, "trials", trials)
        n_new.append(ablation.enqueue_missing(store, row, prepared))

        assert n_new == [2, 2]
        assert [trial.number for trial in store.trials(row.id)] == [0, 1, 2, 3]
        assert len({Cell.of(trial.params) for trial in store.trials(row.id)}) == 4
        assert store.n_trials(row.id) == 4
