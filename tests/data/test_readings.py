"""How often a trial reads its texts, by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from growlab.data import Corpus, load_corpus
from growlab.data.readings import Reading, readings
from growlab.scalar import with_defaults
from growlab.specs import BudgetSpec, DataSpec, StageSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with

SpecOf = Callable[..., DataSpec]


@pytest.fixture
def trial() -> TrialSpec:
    """Of 128 tokens a step."""
    train = with_defaults(TrainSpec)
    return TrialSpec(
        layout="d=8 mlp",
        data=with_defaults(DataSpec),
        train=replace(train, batch_size=4, seq_len=32),
        growth=growth_with(),
        budget=BudgetSpec(unit="steps", amount=100),
        curriculum=(),
        seed=0,
    )


def stage(until: float, path: str = "") -> StageSpec:
    return StageSpec(until=until, path=path, sha256="", plasticity=0.0)


def test_a_text_is_read_as_often_as_its_train_split_is_drawn(spec_of: SpecOf, trial: TrialSpec) -> None:
    corpus = load_corpus(spec_of("a text of one thousand characters " * 100, val_fraction=0.5, test_fraction=0.0))

    assert readings(corpus, trial, n_steps=100) == [
        Reading(stage=None, label=corpus.label, times=12_800 / 1_700),
    ]


def test_each_stage_reads_its_text_for_its_share_of_the_budget(
    spec_of: SpecOf, trial: TrialSpec, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("words " * 20)
    stages = (stage(0.25, str(tmp_path / "words.txt")), stage(1.0))
    corpus = load_corpus(spec_of("running text " * 100, test_fraction=0.0), stages)

    found = readings(corpus, replace(trial, curriculum=stages), n_steps=100)

    assert [(each.stage, Path(each.label).name) for each in found] == [(0, "words.txt"), (1, "corpus.txt")]
    assert [each.times for each in found] == pytest.approx([0.25 * 12_800 / 120, 0.75 * 12_800 / 975])


def test_a_task_is_never_read_twice(trial: TrialSpec) -> None:
    corpus: Corpus = load_corpus(with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=16, n_items=3))

    assert readings(corpus, trial, n_steps=10**9) == []
