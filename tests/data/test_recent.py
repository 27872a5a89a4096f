"""What a process that serves many trials may keep of a corpus, and what it must look at again."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from growlab.data import RecentCorpus
from growlab.errors import DataError
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

SpecOf = Callable[..., DataSpec]
TEXT = "the quick brown fox jumps over the lazy dog. " * 20


def test_the_same_corpus_is_read_once(spec_of: SpecOf) -> None:
    recent, spec = RecentCorpus(), spec_of(TEXT)

    assert recent.load(replace(spec)) is recent.load(spec)


def test_another_corpus_takes_its_place(spec_of: SpecOf) -> None:
    recent, spec = RecentCorpus(), spec_of(TEXT)
    first = recent.load(spec)

    other = recent.load(replace(spec, val_fraction=0.5))

    assert other.val.size > first.val.size
    assert recent.load(spec) is not first


def test_ids_stay_when_text_and_cache_are_deleted(spec_of: SpecOf, cache: Path) -> None:
    recent, spec = RecentCorpus(), spec_of(TEXT)
    recent.load(spec)
    Path(spec.path).unlink()
    shutil.rmtree(cache)

    corpus = recent.load(spec)

    assert "".join(map(corpus.tokenizer.decode, (corpus.train, corpus.val, corpus.test))) == TEXT


def test_a_corpus_that_was_refused_is_looked_at_again(spec_of: SpecOf) -> None:
    recent, spec = RecentCorpus(), spec_of(TEXT)
    Path(spec.path).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        recent.load(spec)

    spec_of(TEXT)

    assert recent.load(spec).train.size > 0


def test_token_ids_are_looked_at_each_time_as_they_lie_in_a_file_of_the_user(tmp_path: Path) -> None:
    np.arange(100, dtype="<u2").tofile(file := tmp_path / "a.bin")
    recent, data = (
        RecentCorpus(),
        with_defaults(DataSpec, source="bin", path=str(file), tokenizer="ids", vocab_size=100),
    )
    recorded = replace(data, sha256=recent.load(data).sha256)
    recent.load(recorded)
    np.arange(100, dtype="<u2")[::-1].tofile(file)

    with pytest.raises(DataError, match=r"/a\.bin: is not the corpus that this trial recorded"):
        recent.load(recorded)
