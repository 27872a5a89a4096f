"""What a person knows goes into a search: a trial by hand, results from elsewhere, the best of another study."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from growlab import api
from growlab.deciding import decided
from growlab.records import PastTrial, TrialState
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"
LAYOUT = "d=16 attn[n_heads=2] mlp"
RESULTS = """layout,train.lr,val_loss,note
d=16 attn[n_heads=2] mlp,0.002,2.5,old
d=16 conv[kernel=3] mlp,4e-3,2.25,older
"""


def past_of(name: str) -> list[PastTrial]:
    with Store.open(STORAGE) as store:
        row = store.study(name)
        return store.past_trials(row.id, "val_loss")


def n_trials_of(name: str) -> int:
    with Store.open(STORAGE) as store:
        return store.study(name).study.n_trials


# ---- growlab trial add -----------------------------------------------------------------------------------------


def test_a_trial_by_hand_is_queued_with_its_values_and_beyond_n_trials_raises_it(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    first = growlab("trial", "add", "tiny", "--layout", LAYOUT, "--set", "train.lr=2e-3", "--json")
    others = [growlab("trial", "add", "tiny", "--layout", "d=16 conv mlp") for _ in range(2)]

    assert json.loads(first.out) == {"name": "tiny", "trial": 0}
    assert "trial 0 of 'tiny' is in the queue\n" in first.err
    assert "growlab worker tiny" in first.err
    assert [outcome.code for outcome in others] == [0, 0]
    assert "trial 2 of 'tiny' is in the queue; n_trials 2 → 3" in others[1].err
    trials = past_of("tiny")
    assert [(trial.number, trial.state, trial.added) for trial in trials] == [
        (at, TrialState.QUEUED, True) for at in range(3)
    ]
    assert trials[0].params == {"train.lr": 2e-3}
    assert 1e-3 <= trials[1].params["train.lr"] <= 1e-2
    with Store.open(STORAGE) as store:
        spec = store.trial(store.study("tiny").id, 0).spec
        assert (spec.train.lr, store.decision(1).origin) == (2e-3, "added")
        assert "n_heads=2" in spec.layout
        assert "expand=" in spec.layout  # every option is written out


@pytest.mark.parametrize(
    ("layout", "setting", "message"),
    [
        ("d=16 attn[n_heads=3]", "train.lr=2e-3", "error: attn"),
        ("d=16 atn", "train.lr=2e-3", "unknown block kind 'atn'"),
        ("d=16 (attn mlp)x4", "train.lr=2e-3", "growth.max_depth must be at least the layout's 8 blocks, got 6"),
        (LAYOUT, "train.lr=1", "train.lr: must be one that the search may draw, of {'low': 0.001"),
        (LAYOUT, "train.lr=[1e-3, 2e-3]", "train.lr: must be a single value"),
        (
            LAYOUT,
            "train.batch_size=8",
            "train.batch_size is 4 in every trial of study 'tiny', got 8; it searches train.lr",
        ),
        (LAYOUT, "train.lrr=1", "unknown scalar 'train.lrr'"),
        (LAYOUT, "lr", "--set 'lr': write it like train.lr=1e-3"),
    ],
)
def test_a_trial_that_could_not_be_a_start_is_refused(
    growlab: Callable, layout: str, setting: str, message: str
) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab("trial", "add", "tiny", "--layout", layout, "--set", setting)

    assert outcome.code == 2
    assert message in outcome.err
    assert past_of("tiny") == []


def test_layouts_to_start_with_are_tried_all_the_same_and_nothing_else_of_the_search_moves(growlab: Callable) -> None:
    starts = "layouts.start_with=[d=16 conv, d=16 conv mlp]"
    for name in ("alone", "beside"):
        growlab("study", "create", "tiny.yaml", "--name", name, "--set", starts, "--set", "n_trials=3")
    growlab("trial", "add", "beside", "--layout", LAYOUT)

    layouts = []
    for name in ("alone", "beside"):
        with Store.open(STORAGE) as store:
            row = store.study(name)
            while len(past := store.past_trials(row.id, "val_loss")) < 3:
                store.enqueue(row.id, decided(row.study, past, vocab_size=40).proposal)
            layouts.append([trial.layout.split("[")[0] for trial in past])

    assert layouts[0][:2] == ["d=16 conv", "d=16 conv"]
    assert layouts[1] == ["d=16 attn", "d=16 conv", "d=16 conv"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["repeats=2"], "has repeats 2: its trials are counted off in groups"),
        (["sampler=given", "layouts.start_with=[d=16 conv]"], "searches nothing: its trials were all made with it"),
    ],
)
def test_a_study_whose_trials_are_counted_off_takes_none(growlab: Callable, settings: list[str], message: str) -> None:
    growlab("study", "create", "tiny.yaml", *(word for setting in settings for word in ("--set", setting)))

    outcome = growlab("trial", "add", "tiny", "--layout", LAYOUT)

    assert outcome.code == 2
    assert message in outcome.err


# ---- growlab study import --------------------------------------------------------------------------------------


def test_results_are_told_once_beside_n_trials_and_the_report_says_so(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")
    (home / "old.csv").write_text(RESULTS)

    told = growlab("study", "import", "tiny", "old.csv", "--json")
    again = growlab("study", "import", "tiny", "old.csv")

    assert json.loads(told.out) == {"name": "tiny", "trials": [0, 1]}
    assert "columns that are not read: note" in told.err
    assert "study 'tiny' was told 2 result(s); n_trials 2 → 4" in told.err
    assert "left out: 2 result(s) that were told before\nstudy 'tiny' was told 0 result(s)\n" in again.err
    assert [(trial.state, trial.value, trial.params) for trial in past_of("tiny")] == [
        (TrialState.COMPLETED, 2.5, {"train.lr": 0.002}),
        (TrialState.COMPLETED, 2.25, {"train.lr": 0.004}),
    ]
    best, other = csv.DictReader(io.StringIO(growlab("report", "tiny", "--format", "csv").out))
    assert (best["val_loss"], best["told"], best["train.lr"], other["layout"]) == ("2.25", "True", "0.004", LAYOUT)
    assert "completed, told" in growlab("report", "tiny", "--format", "table").out
    page = growlab("report", "tiny", "--trial", "0", "--format", "table").out
    assert "told: line 2 of old.csv" in page
    assert "result, as it was told: nothing was trained here\n  val_loss  2.5000" in page
    assert "trial 0 was told, not trained: it has no model" in growlab("export", "tiny", "--trial", "0", "-o", "x").err


def test_a_search_learns_from_what_it_was_told(growlab: Callable, home: Path) -> None:
    layouts = [f"d=16 {mixer} mlp[expand={expand}]" for mixer in ("attn", "conv") for expand in (1, 2, 3, 4)]
    lines = [f"{layout},{1e-3 * (at + 1)},{2 + at / 10}" for at, layout in enumerate(layouts)]
    (home / "old.tsv").write_text("\n".join(["layout,train.lr,val_loss", *lines]).replace(",", "\t"))
    growlab("study", "create", "tiny.yaml")
    growlab("study", "import", "tiny", "old.tsv")

    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        decision = decided(row.study, store.past_trials(row.id, "val_loss"), vocab_size=40).proposal.decision

    assert decision.number == 8
    assert decision.finished == tuple(range(8))
    assert decision.origin == "model"  # the random trials of the beginning are made up for


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layout,val_loss\nd=16 attn,2\n", "old.csv: line 2: says nothing of train.lr, which study 'tiny' searches"),
        ("layout,train.lr,val_loss\nd=16 attn,1e-3,\n", "line 2 has no val_loss, which the study is ranked by"),
        ("layout,train.lr,val_loss\nd=16 attn,1e-3,low\n", "line 2: val_loss must be a number, got 'low'"),
        ("layout,train.lr,val_loss\nd=16 attn,5,2\n", "line 2: train.lr: must be one that the search may draw"),
        ("layout,train.lr,val_loss\nd=16 atn,1e-3,2\n", "line 2: unknown block kind 'atn'"),
        ("layout,train.lr,val_loss\nd=16 attn,1e-3\n", "line 2 has another number of cells than the line of names"),
        ("layout,train.lr\nd=16 attn,1e-3\n", "it lacks val_loss and has 'layout, train.lr'"),
        ("layout,val_loss,val_loss\n", "names a column twice"),
        ("layout,train.lr,val_loss,state\nd=16 attn,1e-3,2,fine\n", "line 2: state must be queued, running, paused"),
        ("", "it lacks layout, val_loss and has nothing"),
    ],
)
def test_a_table_that_cannot_be_told_names_its_line(growlab: Callable, home: Path, text: str, message: str) -> None:
    growlab("study", "create", "tiny.yaml")
    (home / "old.csv").write_text(text)

    outcome = growlab("study", "import", "tiny", "old.csv")

    assert outcome.code == 2
    assert message in outcome.err
    assert past_of("tiny") == []


def test_a_report_of_one_study_is_told_to_another_with_what_diverged_and_without_what_had_not_ended(
    growlab: Callable, home: Path
) -> None:
    for name in ("old", "new"):
        growlab("study", "create", "tiny.yaml", "--name", name)
    (home / "old.csv").write_text(RESULTS.replace("note", "state").replace("older", "diverged").replace("old", ""))
    growlab("study", "import", "old", "old.csv")
    growlab("trial", "add", "old", "--layout", LAYOUT)
    (home / "report.csv").write_text(growlab("report", "old", "--format", "csv").out)

    told = growlab("study", "import", "new", "report.csv")

    assert "left out: 1 trial(s) that had not ended" in told.err
    assert [(trial.state, trial.value) for trial in past_of("new")] == [
        (TrialState.COMPLETED, 2.5),
        (TrialState.DIVERGED, None),
    ]


# ---- growlab study create --start-from -------------------------------------------------------------------------


def test_a_study_begins_with_the_best_of_another_one(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml", "--name", "old")
    (home / "old.csv").write_text(RESULTS)
    growlab("study", "import", "old", "old.csv")
    new = ("--name", "new", "--set", "train.dropout=search", "--set", "n_trials=4")

    created = growlab("study", "create", "tiny.yaml", "--start-from", "old", "--top", "2", *new)
    full = growlab("study", "create", "tiny.yaml", "--start-from", "old", "--top", "5")
    table = ("--set", "sampler=grid", "--set", "train.lr=1e-3", "--set", "layouts.start_with=[d=16 conv]")
    grid = growlab("study", "create", "tiny.yaml", "--start-from", "old", "--top", "1", "--name", "grid", *table)

    assert "4 trials, the first 2 of them the best of 'old'" in created.err
    best, second = past_of("new")
    assert (best.params["train.lr"], second.params["train.lr"]) == (0.004, 0.002)
    assert best.layout.startswith("d=16 conv[")
    assert "train.dropout" in best.params
    assert n_trials_of("new") == 4
    assert "origin    added: trial 1 of old" in growlab("report", "new", "--trial", "0", "--format", "table").out
    assert (full.code, grid.code) == (2, 2)
    assert "n_trials 2 has no room for the 5 best of study 'old'" in full.err
    assert "sampler grid is a table of its own layouts.start_with" in grid.err


def test_a_notebook_adds_and_tells_likewise(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")
    (home / "old.csv").write_text(RESULTS)

    numbers = api.import_results("tiny", "old.csv")
    number = api.add_trial("tiny", LAYOUT, {"train.lr": 0.005})

    assert (numbers, number) == ([0, 1], 2)
    assert api.leaderboard("tiny")["told"].fillna(False).tolist() == [True, True, False]


# ---- growlab report --why --------------------------------------------------------------------------------------


@pytest.fixture
def told(growlab: Callable, home: Path) -> None:
    """A study that was told 16 results, in which convolution at the input is better by 0.5, and lr is of no account."""
    lines = [
        f"d=16 {first} mlp[expand={expand}],{lr},{2 + 0.5 * (first == 'attn') + lr / 100}"
        for first in ("attn", "conv")
        for expand in (2.0, 4.0)
        for lr in (1e-3, 2e-3, 4e-3, 8e-3)
    ]
    (home / "old.csv").write_text("\n".join(["layout,train.lr,val_loss", *lines]))
    growlab("study", "create", "tiny.yaml", "--set", "sampler=model")
    growlab("study", "import", "tiny", "old.csv")


@pytest.mark.usefixtures("told")
def test_a_report_says_why_and_what_comes_next(growlab: Callable) -> None:
    text = growlab("report", "tiny", "--why", "--format", "table").out
    rows = list(csv.DictReader(io.StringIO(growlab("report", "tiny", "--why", "--format", "csv").out)))
    whole = json.loads(growlab("report", "tiny", "--why", "--json").out)

    assert text.startswith("tiny: 16 trials reached a val_loss; each predicted from the others: rank correlation 0.")
    assert "sampler model lets the model decide" in text
    assert "attn in place of another, lower third  +0." in text
    assert "next, by sampler model: trial 16, model" in text
    assert "expected: val_loss " in text
    assert whole == api.why("tiny")
    assert [row["change"] for row in rows] == [effect["change"] for effect in whole["effects"]]
    attn = next(row for row in rows if row["change"] == "attn in place of another, lower third")
    assert abs(float(attn["mean"]) - 0.5) < 3 * float(attn["sd"])
    assert whole["next"]["trial"] == 16
    assert whole["next"]["predicted"]["sd"] > 0


@pytest.mark.usefixtures("told")
def test_the_page_of_a_trial_says_what_was_expected_of_it(growlab: Callable) -> None:
    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        made = decided(row.study, store.past_trials(row.id, "val_loss"), vocab_size=40).proposal
        store.enqueue(row.id, made)

    page = growlab("report", "tiny", "--trial", "16", "--format", "table").out

    assert made.decision.predicted is not None
    assert f"predicted  val_loss {made.decision.predicted.mean:.4f} ± " in page
    assert "predicted" not in growlab("report", "tiny", "--trial", "0", "--format", "table").out


def test_a_study_that_knows_nothing_says_so_and_two_reports_at_once_are_refused(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    report = growlab("report", "tiny", "--why", "--format", "table")
    two = growlab("report", "tiny", "--why", "--trial", "0")

    assert "tiny: 0 trials reached a val_loss; nothing can be learnt before four did" in report.out
    assert "next, by sampler model: trial 0, random" in report.out
    assert two.code == 2
