"""The shipped comparisons of multi-query associative recall: who remembers which value came after which key."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from growlab.data.corpus import load_corpus
from growlab.kinds import KINDS, complete
from growlab.layout import parse
from growlab.preparation.checking import prepare
from growlab.preparation.sources import read_study
from growlab.records import Metric
from growlab.search import preview
from growlab.specs import TrialSpec
from growlab.study import Study


def in_full(layout: str) -> str:
    return str(complete(parse(layout)))


def specs_of(name: str) -> tuple[Study, list[TrialSpec]]:
    """A shipped study, its corpus's hash filled in, and all its trials."""
    study, _ = prepare(read_study(name, []), [], print)
    return study, [each.spec for each in preview(study, KINDS, lambda layout: 0, study.n_trials)]


@pytest.mark.parametrize(("name", "seq_len", "n_pairs"), [("mqar_short", 64, 4), ("mqar_long", 256, 32)])
def test_a_shipped_comparison_is_each_of_its_layouts_at_each_of_four_learning_rates(
    name: str, seq_len: int, n_pairs: int
) -> None:
    study, specs = specs_of(name)

    compared = [(spec.layout, spec.train.lr) for spec in specs]

    rates = sorted({lr for _, lr in compared})
    assert len(rates) == 4
    assert compared == list(product(map(in_full, study.layouts.start_with), rates))
    assert {(spec.train.seq_len, spec.data.n_items) for spec in specs} == {(seq_len, n_pairs)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "lr", "least", "most"),
    [
        ("d=64 swa[n_heads=4,window=4] attn[n_heads=1]", 2e-3, 0.99, 1.0),
        ("d=64 attn[n_heads=1]", 2e-3, 0.0, 0.5),
        ("d=64 mamba", 1e-2, 0.95, 1.0),
    ],
)
def test_two_attention_layers_or_a_mamba_recall_and_one_attention_layer_cannot(
    new_trial: Callable[[TrialSpec], Any], layout: str, lr: float, least: float, most: float
) -> None:
    """The trials of mqar_short that are best of their layout."""
    [spec] = [each for each in specs_of("mqar_short")[1] if (each.layout, each.train.lr) == (in_full(layout), lr)]
    trial = new_trial(spec)
    trial.corpus = load_corpus(spec.data)

    trial.attempt()

    told = [fact for fact in trial.recorder.facts if isinstance(fact, Metric) and fact.name == "accuracy"]
    assert told[-1].step == spec.budget.amount
    assert least <= told[-1].value <= most
