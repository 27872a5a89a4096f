"""The texts of a curriculum: one tokenizer for all, hashed like the corpus, and never validated on."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from growlab.data import RecentCorpus, load_corpus, recorded_curriculum, require_windows
from growlab.errors import DataError, SpecError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, StageSpec

MAIN, WORDS = "the running text of a study\n" * 20, "Ärger: ein Wörterbuch\n" * 5
SpecOf = Callable[..., DataSpec]


@pytest.fixture
def stages(tmp_path: Path) -> tuple[StageSpec, ...]:
    """One with a text of its own, which has characters that the main one lacks, and one without."""
    path = tmp_path / "words.txt"
    path.write_text(WORDS, encoding="utf-8")
    return StageSpec(until=0.5, path=str(path), sha256="", plasticity=0.0), stage_to_the_end()


def stage_to_the_end(path: str = "") -> StageSpec:
    return StageSpec(until=1.0, path=path, sha256="", plasticity=0.0)


@pytest.mark.parametrize(
    "tokenizer", [{"tokenizer": "char"}, {"tokenizer": "byte"}, {"tokenizer": "bpe", "vocab_size": 270}]
)
def test_a_stage_trains_on_all_of_its_text_and_the_splits_stay_those_of_the_study(
    spec_of: SpecOf, stages: tuple[StageSpec, ...], tokenizer: dict[str, object]
) -> None:
    alone, corpus = (load_corpus(spec_of(MAIN, **tokenizer), curriculum) for curriculum in ((), stages))

    assert corpus.tokenizer.decode(np.asarray(corpus.training(0))) == WORDS
    assert corpus.training(1) is corpus.train
    for split in ("train", "val", "test"):
        ids, expected = getattr(corpus, split), getattr(alone, split)
        assert corpus.tokenizer.decode(np.asarray(ids)) == alone.tokenizer.decode(np.asarray(expected))
    assert corpus.val_bytes_per_token == alone.val_bytes_per_token


def test_an_alphabet_is_that_of_all_the_texts(spec_of: SpecOf, stages: tuple[StageSpec, ...]) -> None:
    corpus = load_corpus(spec_of(MAIN), stages)

    assert corpus.tokenizer.to_mapping()["alphabet"] == sorted({*MAIN, *WORDS})


def test_the_cache_tells_alphabets_apart(spec_of: SpecOf, stages: tuple[StageSpec, ...]) -> None:
    for curriculum in (stages, (), stages, ()):
        corpus = load_corpus(spec_of(MAIN), curriculum)

        assert corpus.tokenizer.decode(np.asarray(corpus.train)) == MAIN[: corpus.train.size]


def test_byte_pairs_are_those_of_the_study_alone(spec_of: SpecOf, stages: tuple[StageSpec, ...]) -> None:
    spec = spec_of(MAIN, tokenizer="bpe", vocab_size=270)

    assert load_corpus(spec, stages).tokenizer_sha256 == load_corpus(spec).tokenizer_sha256


def test_a_text_is_recorded_and_another_one_is_refused(
    spec_of: SpecOf, stages: tuple[StageSpec, ...], sha256_of: Callable[[str], str]
) -> None:
    spec = spec_of(MAIN)
    recorded = recorded_curriculum(stages, load_corpus(spec, stages))
    assert [stage.sha256 for stage in recorded] == [sha256_of(WORDS), ""]
    load_corpus(spec, recorded)

    Path(stages[0].path).write_text(WORDS + "more", encoding="utf-8")

    with pytest.raises(DataError, match=r"curriculum\[0\]: .*words\.txt: is not the text that this trial recorded"):
        load_corpus(spec, recorded)


def test_the_corpus_loaded_last_is_that_of_the_same_curriculum(spec_of: SpecOf, stages: tuple[StageSpec, ...]) -> None:
    recent, spec = RecentCorpus(), spec_of(MAIN)

    first = recent.load(spec, stages)

    assert recent.load(spec, stages) is first
    assert recent.load(spec) is not first


def test_the_studys_own_text_is_refused_as_a_stage(spec_of: SpecOf) -> None:
    spec = spec_of(MAIN)

    with pytest.raises(DataError, match=r"curriculum\[0\]: .* is the study's own data, val and test included"):
        load_corpus(spec, [stage_to_the_end(spec.path)])


def test_a_text_that_is_missing_is_named_with_its_stage(spec_of: SpecOf, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"curriculum\[0\]: .*no\.txt"):
        load_corpus(spec_of(MAIN), [stage_to_the_end(str(tmp_path / "no.txt"))])


def test_a_text_shorter_than_a_window_is_named_with_its_stage(spec_of: SpecOf, stages: tuple[StageSpec, ...]) -> None:
    Path(stages[0].path).write_text("short")

    with pytest.raises(DataError, match=r"the curriculum\[0\] split has 5 tokens, train\.seq_len 16 needs at least 17"):
        require_windows(load_corpus(spec_of(MAIN), stages), 16)


def test_token_ids_may_be_staged_too(tmp_path: Path) -> None:
    for name, ids in {"main": range(100), "first": range(50, 90)}.items():
        np.array(ids, dtype="<u2").tofile(tmp_path / f"{name}.bin")
    data = with_defaults(DataSpec, source="bin", path=str(tmp_path / "main.bin"), tokenizer="ids", vocab_size=100)

    corpus = load_corpus(data, [stage_to_the_end(str(tmp_path / "first.bin"))])

    assert list(corpus.training(0)) == list(range(50, 90))
    assert math.isnan(corpus.val_bytes_per_token)
    with pytest.raises(DataError, match=r"curriculum\[0\]: .*no\.bin"):
        load_corpus(data, [stage_to_the_end(str(tmp_path / "no.bin"))])


def test_a_source_without_a_path_has_no_text_for_a_stage() -> None:
    task = with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=64, n_items=2)

    with pytest.raises(SpecError, match=r"curriculum\[0\].path: source 'recall' has none; leave it out, got '/a.txt'"):
        load_corpus(task, [stage_to_the_end("/a.txt")])
    assert load_corpus(task, [stage_to_the_end()]).training(0) is not None
