from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from growlab.data import load_corpus
from growlab.data.batches import training_batch, validation_batches, window_offsets
from growlab.specs import DataSpec

IDS = np.arange(100, dtype=np.uint8)


def test_a_step_always_has_the_same_windows() -> None:
    first = window_offsets(1_000_000, 128, 4, seed=7, step=3)

    assert window_offsets(1_000_000, 128, 4, seed=7, step=3).tolist() == first.tolist()
    assert first.dtype == np.int64
    # written down on the day this was made: a recorded trial must find its data again
    assert first.tolist() == [155890, 789791, 492134, 794837]


def test_seed_and_step_are_not_interchangeable() -> None:
    drawn = {(seed, step): window_offsets(10**9, 128, 8, seed, step) for seed in range(4) for step in range(4)}

    assert len({offsets.tobytes() for offsets in drawn.values()}) == 16
    assert len({offset for offsets in drawn.values() for offset in offsets.tolist()}) == 16 * 8


@given(
    seq_len=st.integers(1, 50),
    n_more=st.integers(1, 10**12),
    batch_size=st.integers(1, 20),
    seed=st.integers(-(2**70), 2**70),
    step=st.integers(0, 2**63),
)
def test_windows_lie_inside_the_split(seq_len: int, n_more: int, batch_size: int, seed: int, step: int) -> None:
    offsets = window_offsets(seq_len + n_more, seq_len, batch_size, seed, step)

    assert offsets.shape == (batch_size,)
    assert offsets.min() >= 0
    assert offsets.max() <= n_more - 1


def test_every_window_is_drawn_equally_often() -> None:
    drawn = np.concatenate([window_offsets(14, 4, 10, seed=0, step=step) for step in range(1_000)])

    counts = np.bincount(drawn)

    assert counts.size == 10
    assert np.abs(counts - 1_000).max() < 5 * np.sqrt(1_000)


def test_a_split_without_a_window_is_a_slip_of_ours() -> None:
    with pytest.raises(AssertionError, match=r"4 tokens hold no window of 4 \+ 1"):
        window_offsets(4, 4, 1, seed=0, step=0)


def test_a_training_batch_asks_for_the_token_after_each() -> None:
    x_BT, y_BT = training_batch(IDS, seq_len=5, batch_size=3, seed=1, step=2)

    assert x_BT.shape == y_BT.shape == (3, 5)
    assert x_BT.dtype == y_BT.dtype == torch.int64
    assert x_BT.is_contiguous()
    assert y_BT.is_contiguous()
    assert x_BT[:, 0].tolist() == window_offsets(100, 5, 3, seed=1, step=2).tolist()
    assert torch.equal(x_BT, x_BT[:, :1] + torch.arange(5))
    assert torch.equal(y_BT, x_BT + 1)


@given(n_tokens=st.integers(0, 200), seq_len=st.integers(1, 40), batch_size=st.integers(1, 10))
def test_validation_predicts_each_token_but_the_first_once(n_tokens: int, seq_len: int, batch_size: int) -> None:
    ids = np.arange(n_tokens, dtype=np.uint16)

    batches = list(validation_batches(ids, seq_len, batch_size))

    assert [token for x_BT, _ in batches for token in x_BT.flatten().tolist()] == list(range(n_tokens - 1))
    assert [token for _, y_BT in batches for token in y_BT.flatten().tolist()] == list(range(1, n_tokens))
    assert all(x_BT.shape == y_BT.shape for x_BT, y_BT in batches)
    assert all(y_BT.shape[0] <= batch_size for _, y_BT in batches)


def test_the_last_validation_window_may_be_shorter_and_comes_alone() -> None:
    shapes = [tuple(x_BT.shape) for x_BT, _ in validation_batches(IDS, seq_len=12, batch_size=3)]

    assert shapes == [(3, 12), (3, 12), (2, 12), (1, 3)]


def test_a_validation_pass_is_the_same_each_time() -> None:
    passes = [[x_BT.tolist() for x_BT, _ in validation_batches(IDS, 7, 4)] for _ in range(2)]

    assert passes[0] == passes[1]


@pytest.mark.parametrize("n_tokens", [0, 1])
def test_a_split_of_fewer_than_two_tokens_predicts_nothing(n_tokens: int) -> None:
    assert list(validation_batches(IDS[:n_tokens], seq_len=4, batch_size=2)) == []


def test_batches_are_copies_of_a_read_only_corpus(spec_of: Callable[..., DataSpec]) -> None:
    corpus = load_corpus(spec_of("the quick brown fox jumps over the lazy dog"))

    x_BT, _ = training_batch(corpus.train, seq_len=8, batch_size=2, seed=0, step=0)
    before = corpus.train.tolist()
    x_BT += 1

    assert corpus.train.tolist() == before
    assert sum(y_BT.numel() for _, y_BT in validation_batches(corpus.val, 4, 2)) == corpus.val.size - 1
