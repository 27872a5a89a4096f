"""Metrics that a study asks of a completed trial's model: growlab's own, a plugin's, and one that fails."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import growlab.training.decode_speed  # noqa: F401  (it fills the table)
from growlab.data.corpus import Corpus
from growlab.errors import NotRegistered
from growlab.kinds import complete
from growlab.layout import parse
from growlab.metrics import METRICS, register_metric
from growlab.model.cost import Costs
from growlab.named import Named
from growlab.plugins import load_plugins
from growlab.records import DECODE_SPEED, Metric, TrialState
from growlab.specs import TrialSpec

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[..., Any]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = dict(METRICS)
    yield
    METRICS.reset(before)


@pytest.fixture
def attempt(make_spec: MakeSpec, new_trial: NewTrial) -> Callable[..., tuple[Any, dict[str, float]]]:
    """Train a trial that grows, asked for these metrics; its result, and the rows of its last step by name."""

    def of(*asked: Named) -> tuple[Any, dict[str, float]]:
        trial = new_trial(make_spec(steps=20))
        result = trial.attempt(asked=asked)
        rows = [fact for fact in trial.recorder.facts if isinstance(fact, Metric) and fact.split == "train"]
        return result, {row.name: row.value for row in rows if row.step == 20}

    return of


def test_what_the_last_layout_costs_and_how_fast_it_writes_are_rows_where_they_are_asked_for(
    attempt: Any, corpus: Corpus
) -> None:
    long = Named(name="state_size", options={"seq_len": 64})

    result, rows = attempt(Named(name="state_size"), long, Named(name="flops_per_token"), Named(name=DECODE_SPEED))

    assert (result.state, result.depth_end, result.error) == (TrialState.COMPLETED, 4, "")
    n_attn, d_model = 2, 16
    assert (rows["state_size"], rows["state_size[seq_len=64]"]) == (
        16 * 2 * n_attn * d_model,
        64 * 2 * n_attn * d_model,
    )
    costs = Costs(corpus.tokenizer.vocab_size)
    assert rows["flops_per_token"] == costs.flops_per_token(complete(parse(result.layout_end)), 16)
    assert rows[DECODE_SPEED] > 0


def test_nothing_is_measured_that_nobody_asked_for(attempt: Any) -> None:
    _, rows = attempt()

    assert rows.keys() == {"loss", "lr", "grad_norm", "tokens_per_s", "flops", "tokens", "lasting_drift"} & rows.keys()


def test_the_metric_that_the_documents_show_counts_first_guesses(attempt: Any, repository: Path) -> None:
    load_plugins([repository / "docs" / "my_metric.py"])

    _, rows = attempt(Named(name="first_guess"))

    assert 0.05 < rows["first_guess"] < 1


def test_a_metric_that_fails_is_no_fault_of_the_trial_and_says_why(attempt: Any) -> None:
    @register_metric("sharp", "", direction="minimise")
    def sharp(model: torch.nn.Module, corpus: object, device: torch.device) -> float:
        assert not model.training
        raise ValueError("no minimum in sight")

    result, rows = attempt(Named(name="sharp"), Named(name="memory"))

    assert (result.state, result.error) == (TrialState.COMPLETED, "metric sharp: ValueError: no minimum in sight")
    assert math.isnan(rows["sharp"])
    assert rows["memory"] > 0


def test_a_metric_that_is_not_known_here_is_refused_before_anything_is_trained(attempt: Any) -> None:
    with pytest.raises(NotRegistered, match="unknown metric 'theirs'; known: accuracy, "):
        attempt(Named(name="theirs"))
