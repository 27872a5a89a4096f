"""What a stored study says when it is over, how it gets more trials, what cannot be changed of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growlab.commands.watching import show_standing
from growlab.records import TrialResult, TrialState
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
    assert json.loads(as_json.out) == {"name": "tiny", "n_trials": 10}
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
    assert "only its n_trials can be, with growlab study set tiny n_trials=9." in changed.err
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
