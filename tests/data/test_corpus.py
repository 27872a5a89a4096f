import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import load_corpus, require_windows
from growlab.data.corpus import _without_last
from growlab.errors import DataError
from growlab.specs import DataSpec

SpecOf = Callable[..., DataSpec]
Sha256Of = Callable[[str], str]
# 12 characters for train, 4 for val, 4 for test
MULTIBYTE = "abababababab" + "aé€😀" + "€abé"


@pytest.mark.parametrize("tokenizer", ["char", "byte"])
def test_the_splits_are_the_text_in_order_and_nothing_twice(spec_of: SpecOf, tokenizer: str) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE, tokenizer=tokenizer))

    joined = np.concatenate([corpus.train, corpus.val, corpus.test])

    assert joined.tolist() == corpus.tokenizer.encode(MULTIBYTE).tolist()
    assert corpus.tokenizer.decode(joined) == MULTIBYTE


def test_test_is_the_end_of_the_text_and_val_the_end_of_what_is_before_it(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE))

    decode = corpus.tokenizer.decode
    assert decode(corpus.train) == "abababababab"
    assert decode(corpus.val) == "aé€😀"
    assert decode(corpus.test) == "€abé"


@pytest.mark.parametrize("changes", [{"tokenizer": "char"}, {"tokenizer": "bpe", "vocab_size": 300}])
def test_a_last_training_reads_val_too_and_never_test(spec_of: SpecOf, changes: dict[str, object]) -> None:
    before = load_corpus(spec_of(MULTIBYTE, **changes))

    last = load_corpus(spec_of(MULTIBYTE, train_on_val=True, **changes))

    assert last.train.tolist() == [*before.train.tolist(), *before.val.tolist()]
    assert last.val.tolist() == before.val.tolist()
    assert last.test.tolist() == before.test.tolist()
    assert last.tokenizer_sha256 == before.tokenizer_sha256


def test_a_text_as_long_as_tiny_shakespeare_is_split_like_nanogpt(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of("ab" * (1_115_394 // 2), val_fraction=0.05, test_fraction=0.1))

    assert corpus.train.size + corpus.val.size == int(0.9 * 1_115_394) == 1_003_854
    assert corpus.test.size == 111_540
    assert corpus.train.size == 953_661


@given(n_tokens=st.integers(0, 10**13), tenths=st.integers(0, 9))
def test_a_fraction_means_the_decimal_that_was_written(n_tokens: int, tenths: int) -> None:
    assert _without_last(tenths / 10, n_tokens) == n_tokens * (10 - tenths) // 10


def test_the_splits_are_memory_mapped_and_cannot_be_written(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE))

    for split in (corpus.train, corpus.val, corpus.test):
        assert isinstance(split, np.memmap)
        assert split.ndim == 1
        with pytest.raises(ValueError, match="read-only"):
            split[0] = 0


def test_without_a_test_fraction_the_test_split_is_empty(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE, test_fraction=0.0))

    assert corpus.test.size == 0
    assert corpus.test_bytes_per_token == 0.0
    assert corpus.val.size == 5


def test_bytes_per_token_count_the_utf8_of_all_characters_but_the_first(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE))

    assert corpus.val_bytes_per_token == (2 + 3 + 4) / 3
    assert corpus.test_bytes_per_token == (1 + 1 + 2) / 3


def test_a_byte_is_one_byte(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE, tokenizer="byte"))

    assert corpus.val_bytes_per_token == corpus.test_bytes_per_token == 1.0


def test_a_guess_among_all_characters_costs_its_bits_over_its_bytes(spec_of: SpecOf) -> None:
    corpus = load_corpus(spec_of(MULTIBYTE))
    val_loss = math.log(corpus.tokenizer.vocab_size)  # nats per token of a uniform guess among a, b, é, €, 😀

    bits_per_byte = val_loss / math.log(2) / corpus.val_bytes_per_token

    assert bits_per_byte == pytest.approx(3 * math.log2(5) / 9)


def test_the_recorded_text_is_accepted(sha256_of: Sha256Of, spec_of: SpecOf) -> None:
    load_corpus(spec_of(MULTIBYTE, sha256=sha256_of(MULTIBYTE)))


def test_another_text_than_the_recorded_is_refused(sha256_of: Sha256Of, spec_of: SpecOf) -> None:
    spec = spec_of(MULTIBYTE, sha256=sha256_of("another"))

    with pytest.raises(
        DataError,
        match=rf"/corpus\.txt: is not the corpus that this trial recorded: sha256 {sha256_of(MULTIBYTE)[:12]}…, "
        rf"recorded {sha256_of('another')[:12]}…; bring the recorded text back",
    ):
        load_corpus(spec)


@pytest.mark.slow
def test_for_an_embedded_text_the_refusal_names_the_python(
    sha256_of: Sha256Of, spec_of: SpecOf, built_stdlib: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, cache = built_stdlib
    monkeypatch.setenv("GROWLAB_CACHE", str(cache))
    embedded = {"source": "stdlib", "path": ""}

    load_corpus(spec_of("", **embedded, sha256=sha256_of(text)))

    with pytest.raises(DataError, match=r"source 'stdlib' under Python 3\.\d+\.\d+.*: is not the corpus"):
        load_corpus(spec_of("", **embedded, sha256=sha256_of("older")))


@pytest.mark.parametrize(
    ("changes", "seq_len", "message"),
    [
        (
            {},
            4,
            r"^/.*/corpus\.txt: the val split has 4 tokens, train\.seq_len 4 needs at least 5; .* raise data\.val_f",
        ),
        ({"val_fraction": 0.9}, 1, r"the train split has 1 tokens, .* at least 2; .* lower data\.val_fraction"),
        ({"test_fraction": 0.05}, 3, r"the test split has 1 tokens, .* raise data\.test_fraction or set it to 0"),
    ],
)
def test_a_split_shorter_than_a_window_is_named(
    spec_of: SpecOf, changes: dict[str, float], seq_len: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        require_windows(load_corpus(spec_of(MULTIBYTE, **changes)), seq_len)


def test_splits_of_exactly_one_window_are_long_enough(spec_of: SpecOf) -> None:
    require_windows(load_corpus(spec_of(MULTIBYTE)), 3)
    require_windows(load_corpus(spec_of(MULTIBYTE, test_fraction=0.0)), 4)
