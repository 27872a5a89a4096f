"""growlab report through the command line: what is chosen, compared and refused, into a pipe."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from growlab.kinds import KINDS
from growlab.records import Metric, TrialResult, TrialState
from growlab.search import preview
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"


@pytest.fixture
def searched(growlab: Callable) -> None:
    """Three trials that completed and one that failed, of a study whose workers are played."""
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=4")
    with Store.open(STORAGE) as store:
        row = store.study("tiny")
        worker = store.register_worker(name="here", device="cpu", versions={})
        for made, loss in zip(preview(row.study, KINDS, lambda layout: 1, 4), (2.0, 1.5, 2.5, None), strict=True):
            store.enqueue(row.id, made)
            claim = store.claim_next(row.id, worker, lease_s=60)
            assert claim is not None
            facts = [Metric(step=10, split="train", name="flops", value=5.0)]
            store.finish(claim, _result(made.layout, loss), facts, [])


def _result(layout: str, loss: float | None) -> TrialResult:
    return TrialResult(
        state=TrialState.COMPLETED if loss else TrialState.FAILED,
        layout_end=layout,
        depth_end=2,
        n_params=1000,
        val_loss=loss,
        best_val_loss=loss,
        bits_per_byte=loss,
        flops=10**6,
        tokens=1,
        steps=1,
        elapsed_s=1.0,
        error="" if loss else "out of memory",
    )


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


@pytest.mark.usefixtures("searched")
def test_a_pipe_gets_the_rows_and_columns_that_were_asked_for(growlab: Callable) -> None:
    chosen = growlab("report", "tiny", "--where", "val_loss >= 2", "--sort-by", "-val_loss", "--columns", "trial,best")

    assert chosen.out == "trial\tbest_val_loss\n2\t2.5\n0\t2.0\n"
    assert growlab("report", "tiny", "--top", "1", "--columns", "trial").out == "trial\n1\n"


@pytest.mark.usefixtures("searched")
def test_one_trial_in_a_pipe_is_what_it_said_at_each_step_and_several_are_rows(growlab: Callable) -> None:
    steps, compared = growlab("report", "tiny", "--trial", "1"), growlab("report", "tiny", "1", "2", "--compare")

    assert rows_of(steps.out) == [{"step": "10", "train.flops": "5.0"}]
    assert [(row["study"], row["number"], row["val_loss"]) for row in rows_of(compared.out)] == [
        ("tiny", "1", "1.5"),
        ("tiny", "2", "2.5"),
    ]


@pytest.mark.usefixtures("searched")
def test_the_whole_report_is_json_and_a_table_on_demand(growlab: Callable) -> None:
    whole = json.loads(growlab("report", "tiny", "--json").out)
    table = growlab("report", "tiny", "--format", "table").out

    assert (whole["study"]["state"], len(whole["trials"]), whole["failures"][0]["trials"]) == ("done", 4, [3])
    assert "1  failed  out of memory  3" in table


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("report", "tiny", "--where", "val_loss <"), 2, "--where: expected a value behind <"),
        (("report", "tiny", "--columns", "los"), 2, "unknown column 'los'; known: "),
        (("report", "tiny", "--sort-by", "-los"), 2, "unknown column 'los'; known: "),
        (("report", "tiny", "--trial", "0", "--top", "3"), 2, "--trial prints one trial; leave --top out"),
        (("report", "tiny", "--trial", "9"), 1, "no trial 9; the study has trials 0 to 3"),
        (("report", "tiny", "0", "--compare"), 2, "--compare needs two trials at least"),
        (("report", "tiny", "0", "nine", "--compare"), 2, "'nine' names no trial"),
        (("report", "tiny", "0", "9", "--compare"), 1, "no trial 9; the study has trials 0 to 3"),
        (("report", "tiny", "--compare", "--why"), 2, "--why and --compare are two reports"),
        (("report", "tiny", "--live"), 2, "--live redraws a terminal, and this goes elsewhere"),
        (("report", "tyni"), 1, "no study 'tyni'"),
    ],
)
def test_a_slip_is_one_message(growlab: Callable, words: tuple[str, ...], code: int, message: str) -> None:
    outcome = growlab(*words)

    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_study_without_trials_is_a_report(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab("report", "tiny", "--format", "table", "--where", "has attn and lr > 1e-3")

    assert (outcome.code, outcome.out.splitlines()[1:]) == (0, ["not begun", "no trials yet"])
