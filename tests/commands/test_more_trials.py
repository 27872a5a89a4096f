"""What a stored study says when it is over, how it gets more trials, what cannot be changed of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlab.commands.watching import show_standing
from growlab.records import TrialResult, TrialState
from growlab.report.title import read_title
from growlab.running.outcome import read_standing
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"


def test_a_study_without_a_winner_says_why_and_what_to_try(growlab: Callable, capsys: Any) -> None:
    growlab("study", "create", "tiny.yaml")
    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        _end_as_diverged(store, row, "the loss was nan at step 3")

        show_standing(read_standing(store, row, storage=STORAGE))

    said = capsys.readouterr().err
    assert "no trial completed: all 2 that ended are without a result\n  2 diverged: the loss was nan at step 3" in said
    assert "try a lower train.lr" in said
    assert "see one whole: growlab report tiny --trial 0" in said


def _end_as_diverged(store: Store, row: Any, error: str) -> None:
    from growlab.kinds import KINDS
    from growlab.search import preview

    worker = store.register_worker(name="w", device="cpu", versions={})
    for made in preview(row.study, KINDS, lambda layout: 1, 2):
        store.enqueue(row.id, made)
        claim = store.claim_next(row.id, worker, lease_s=60.0)
        assert claim is not None
        store.finish(claim, _diverged(made.spec.layout, error), [], [])


def _diverged(layout: str, error: str) -> TrialResult:
    return TrialResult(
        state=TrialState.DIVERGED,
        val_loss=None,
        best_val_loss=None,
        bits_per_byte=None,
        layout_end=layout,
        n_params=1,
        depth_end=2,
        steps=3,
        tokens=3,
        flops=3,
        elapsed_s=1.0,
        error=error,
    )


# ---- growlab study set -----------------------------------------------------------------------------------------


def test_the_number_of_trials_is_raised_and_lowered_to_what_there_is(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    raised = growlab("study", "set", "tiny", "n_trials=9")
    as_json = growlab("study", "set", "tiny", "n_trials=1e1", "--json")
    lowered = growlab("study", "set", "tiny", "n_trials=1")

    assert (raised.code, raised.out) == (0, "")
    assert "study 'tiny': n_trials 2 → 9, 0 done\ngo on with: growlab study run tiny\n" in raised.err
    assert json.loads(as_json.out) == {"name": "tiny", "n_trials": 10, "budget": {}, "stop_when": {}}
    assert lowered.code == 0
    with Store.open(STORAGE) as store:
        assert (store.study("tiny").study.n_trials, store.n_trials(store.study("tiny").id)) == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.lr=1e-3", "'train.lr' of a stored study cannot be changed"),
        ("n_trials", "write it like"),
        ("n_trials=0", "n_trials: must be a whole number of at least 1, got 0"),
        ("n_trials=many", "n_trials: must be a whole number of at least 1, got 'many'"),
    ],
)
def test_what_cannot_be_set_says_what_can(growlab: Callable, change: str, message: str) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab("study", "set", "tiny", change)

    assert outcome.code == 2
    assert message in outcome.err


def test_a_grid_gets_more_trials_only_where_layouts_can_be_drawn(growlab: Callable, home: Path) -> None:
    text = (home / "tiny.yaml").read_text().replace("{low: 1e-3, high: 1e-2, log: true}", "[1e-3, 1e-2]")
    text = text.replace("{attn: {n_heads: [1, 2]}, conv: {kernel: 3}, mlp: {}}", "[mlp]")
    (home / "grid.yaml").write_text(
        text.replace("depth: [2, 4]", "depth: 2\n  start_with: [d=16 conv]") + "sampler: grid\n"
    )
    growlab("study", "create", "grid.yaml")

    outcome = growlab("study", "set", "tiny", "n_trials=3")

    assert outcome.code == 2
    assert "layouts.blocks needs a sequence mixer" in outcome.err
    with Store.open(STORAGE) as store:
        assert store.study("tiny").study.n_trials == 2


# ---- study run, of what is stored ------------------------------------------------------------------------------


def test_a_stored_study_that_no_file_says_is_not_changed_by_a_run(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    changed = growlab("study", "run", "tiny", "--set", "n_trials=9")
    named = growlab("study", "run", "tiny", "--name", "other")

    assert (changed.code, named.code) == (2, 2)
    assert "only how long it goes on can be, with growlab study set tiny n_trials=9." in changed.err
    assert "study 'tiny' is stored, and --name other would change it" in named.err


def test_a_study_that_differs_from_its_file_names_the_keys(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    other = growlab("study", "run", "tiny.yaml", "--set", "train.lr=1e-3", "--set", "n_trials=3")
    more = growlab("study", "run", "tiny.yaml", "--set", "n_trials=3")

    assert (other.code, more.code) == (2, 2)
    assert "is not the one in tiny.yaml: n_trials is 2 there, 3 here; " in other.err
    assert "train.lr is {'low': 0.001, 'high': 0.01, 'log': True} there, 0.001 here. " in other.err
    assert "change the stored one: growlab study set tiny n_trials=3" in more.err


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(growlab: Callable, home: Path) -> None:
    outcome = growlab("study", "run", "tiny.yaml", "--device", "cuda:77")

    assert outcome.code == 2
    assert "device 'cuda:77'" in outcome.err
    assert not (home / "growlab.db").exists()


# ---- a study that is over before it has all its trials -----------------------------------------------------------


@pytest.fixture
def over(growlab: Callable) -> None:
    """Two trials of nine, after which the study's FLOPs are spent."""
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=9", "--set", "budget.study={flops: 6, hours: 8}")
    with Store.open(STORAGE) as store:
        _end_as_diverged(store, store.study("tiny"), "the loss was nan at step 3")


@pytest.mark.usefixtures("over")
def test_lists_reports_and_runs_say_why_a_study_is_over(growlab: Callable) -> None:
    reason = "over: budget.study.flops 6 is spent (6)"

    listed, as_json = growlab("study", "list"), growlab("study", "list", "--json")
    run, shown = growlab("study", "run", "tiny"), growlab("study", "show", "tiny")

    assert listed.out.rstrip().endswith(reason)
    assert f"over: {json.loads(as_json.out)[0]['over']}" == reason
    assert run.code == 0
    assert f"the study is {reason}; what is queued stays so. To go on: growlab study set tiny" in run.err
    assert "study:\n    flops: 6" in shown.out
    with Store.open(STORAGE) as store:
        assert read_title(store, store.study("tiny")).endswith(f" · {reason}")


@pytest.mark.usefixtures("over")
def test_a_larger_budget_or_none_lets_it_go_on(growlab: Callable) -> None:
    more = growlab("study", "set", "tiny", "budget.study.flops=7")
    none = growlab("study", "set", "tiny", "budget.study={}", "--json")
    less = growlab("study", "set", "tiny", "budget.study.flops=5")
    target = growlab("study", "set", "tiny", "stop_when.val_loss=low")

    assert (more.code, more.err.splitlines()) == (
        0,
        ["study 'tiny': budget.study.flops=7, 2 done", "go on with: growlab study run tiny"],
    )
    assert json.loads(none.out) == {"name": "tiny", "n_trials": 9, "budget": {}, "stop_when": {}}
    assert "the study is over: budget.study.flops 5 is spent (6)" in less.err
    assert (target.code, "stop_when.val_loss: must be a number, got 'low'" in target.err) == (2, True)
    with Store.open(STORAGE) as store:
        assert store.study("tiny").revision == 3


def test_a_preview_says_what_may_end_a_study_before_it_has_all_its_trials(growlab: Callable) -> None:
    limits = ("--set", "budget.study.flops=1e9", "--set", "stop_when.val_loss=1.5")

    previewed = growlab("study", "preview", "tiny.yaml", "-n", "1", *limits)

    assert (
        "It is over earlier at budget.study.flops 1e+09 or stop_when.val_loss 1.5; trials under way finish"
        in previewed.err
    )
    assert "those FLOPs are spent after about" in previewed.err
