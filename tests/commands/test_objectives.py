"""Several objectives through the commands: a study is told of them later, its front is shown and exported.

Workers are played: they claim what is in the queue and give it a loss and a size.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from growlab import api
from growlab.kinds import KINDS
from growlab.records import Metric, TrialResult, TrialState
from growlab.search import preview
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"
RESULTS = ((2.0, 900), (1.5, 2000), (2.5, 1000))  # loss and parameters; the last is worse than the first in both


def result(layout: str, loss: float, n_params: int) -> TrialResult:
    return TrialResult(
        state=TrialState.COMPLETED,
        layout_end=layout,
        depth_end=2,
        n_params=n_params,
        val_loss=loss,
        best_val_loss=loss,
        bits_per_byte=loss,
        flops=1,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
    )


@pytest.fixture
def searched(growlab: Callable) -> None:
    """Three trials that completed, of a study with one objective, as every study was once."""
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=3")
    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        worker = store.register_worker(name="here", device="cpu", versions={})
        for made, (loss, n_params) in zip(preview(row.study, KINDS, lambda layout: 1, 3), RESULTS, strict=True):
            store.enqueue(row.id, made)
            claim = store.claim_next(row.id, worker, lease_s=60)
            assert claim is not None
            speed = Metric(step=1, split="train", name="tokens_per_s", value=loss * 100)
            store.finish(claim, result(made.layout, loss, n_params), [speed], [])


@pytest.mark.usefixtures("searched")
def test_objectives_are_told_afterwards_and_nothing_is_trained_again(growlab: Callable) -> None:
    before = growlab("report", "tiny", "--pareto")
    told = growlab("study", "set", "tiny", "objectives=[val_loss, params, train_tokens_per_s]", "--json")
    shown = json.loads(growlab("report", "tiny", "--json").out)
    bounded = growlab("study", "set", "tiny", "constraints.params.at_most=1500")
    front = growlab("report", "tiny", "--pareto")

    assert (before.code, told.code, bounded.code) == (2, 0, 0)
    assert "has one objective and no constraint, so there is no front" in before.err
    names = [objective["metric"] for objective in shown["front"]["objectives"]]
    assert [objective["metric"] for objective in json.loads(told.out)["objectives"]] == names
    assert (shown["front"]["trials"], shown["trials"][0]["train_tokens_per_s"]) == ([1, 0, 2], 150.0)
    assert "study 'tiny': constraints.params.at_most=1500, 3 done" in bounded.err
    assert [line.split("\t")[1] for line in front.out.splitlines()[1:]] == ["0", "2"]
    assert growlab("study", "replay", "tiny").code == 0


@pytest.mark.usefixtures("searched")
def test_what_was_not_recorded_is_said_and_what_layouts_tell_is_computed(growlab: Callable) -> None:
    told = growlab("study", "set", "tiny", "objectives=[val_loss, state_size, decode_tokens_per_s]")
    one = growlab("study", "set", "tiny", "objective.metric=bits_per_byte")
    growlab("study", "set", "tiny", "objectives=[val_loss, flops_per_token]")
    shown = api.front("tiny", storage=STORAGE)

    assert "3 of 3 completed trial(s) have no decode_tokens_per_s: it was not recorded" in told.err
    assert "no state_size" not in told.err
    assert (one.code, "objectives" in json.loads(growlab("study", "show", "tiny", "--json").out)) == (0, True)
    assert all(trial["flops_per_token"] > 1000 for trial in shown["trials"])
    assert (shown["unknown"], 1 in shown["front"]) == ([], True)


@pytest.mark.usefixtures("searched")
def test_results_from_elsewhere_are_judged_by_what_their_table_says(growlab: Callable, home: Path) -> None:
    growlab("study", "set", "tiny", "objectives=[val_loss, params, train_tokens_per_s]")
    lines = ["layout,train.lr,val_loss,train_tokens_per_s", "d=16 conv mlp,2e-3,1.0,500", "d=16 conv mlp,3e-3,1.1,"]
    (home / "theirs.csv").write_text("\n".join(lines))

    outcome = growlab("study", "import", "tiny", "theirs.csv")
    shown = api.front("tiny", storage=STORAGE)

    assert outcome.code == 0, outcome.err
    assert "1 of 2 result(s) say nothing of train_tokens_per_s, which the study judges by" in outcome.err
    values = {trial["trial"]: trial["values"] for trial in shown["trials"]}
    assert (values[3]["val_loss"], values[3]["train_tokens_per_s"]) == (1.0, 500.0)
    assert (values[3]["params"] > 1000, shown["front"][0], shown["unknown"]) == (True, 3, [4])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("study", "set", "tiny", "objectives=[params]"), "objectives: the first one ranks trials"),
        (
            ("study", "set", "tiny", "objectives=[val_loss, accuracy]"),
            "metric accuracy is of a synthetic task's answers",
        ),
        (("study", "set", "tiny", "constraints.speed.at_least=1"), "unknown metric 'speed'"),
        (("export", "tiny", "--pareto", "front"), "has one objective and no constraint, so there is no front"),
        (("export", "tiny", "--pareto", "front", "-o", "best"), "--pareto exports the whole front"),
        (("report", "tiny", "--pareto", "--trial", "0"), "--trial prints one trial; leave --pareto out"),
        (("report", "tiny", "--pareto", "--why"), "--why prints what the whole study has learnt; leave --pareto out"),
    ],
)
def test_a_slip_is_said(growlab: Callable, words: tuple[str, ...], message: str) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab(*words)

    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.usefixtures("searched")
def test_the_front_of_trials_whose_files_are_gone_is_not_exported_by_halves(growlab: Callable, home: Path) -> None:
    growlab("study", "set", "tiny", "objectives=[val_loss, params]")

    outcome = growlab("export", "tiny", "--pareto", "front")

    assert (outcome.code, (home / "front").exists()) == (1, False)
    assert "trial 1 has no model on record" in outcome.err
