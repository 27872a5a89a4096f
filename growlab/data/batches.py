"""Windows of a split as tensors. B windows of T tokens; y is x shifted by one: the token to predict.

The data position of a run is one integer, its step: nothing here remembers anything.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from growlab.data.tokenizers import Ids

Batch = tuple[Int64[Tensor, "B T"], Int64[Tensor, "B T"]]  # x, y; contiguous, on the CPU


def window_offsets(n_tokens: int, seq_len: int, batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Where the windows of one training step begin: (batch_size,), int64, uniform on [0, n_tokens - seq_len - 1].

    A pure function: Philox is keyed by (seed, step), both taken modulo 2**64. The split must hold
    seq_len + 1 tokens (growlab.data.require_windows says so to people).
    """
    n_windows = n_tokens - seq_len
    assert n_windows >= 1, f"{n_tokens} tokens hold no window of {seq_len} + 1"
    key = np.array([seed % 2**64, step % 2**64], dtype=np.uint64)
    # Raw bits, as numpy promises their stream for ever, but not that of Generator.integers.
    # The remainder's bias is n_windows / 2**64.
    return (np.random.Philox(key=key).random_raw(batch_size) % np.uint64(n_windows)).astype(np.int64)


def training_batch(ids: Ids, seq_len: int, batch_size: int, seed: int, step: int) -> Batch:
    """The windows of one training step: two (batch_size, seq_len) int64 tensors."""
    return _windows(ids, window_offsets(ids.size, seq_len, batch_size, seed, step), seq_len)


def validation_batches(ids: Ids, seq_len: int, batch_size: int) -> Iterator[Batch]:
    """One full pass in reading order: every token but the first is predicted exactly once.

    Non-overlapping windows, batch_size at a time; what is left over is a shorter window, last and
    alone. Weigh a mean over batches by y.numel(). Yields nothing for fewer than two tokens.
    """
    n_full, n_rest = divmod(max(ids.size - 1, 0), seq_len)
    offsets = np.arange(n_full, dtype=np.int64) * seq_len
    for first in range(0, n_full, batch_size):
        yield _windows(ids, offsets[first : first + batch_size], seq_len)
    if n_rest:
        yield _windows(ids, np.array([n_full * seq_len]), n_rest)


def _windows(ids: Ids, offsets_B: NDArray[np.int64], seq_len: int) -> Batch:
    at_BT = offsets_B[:, None] + np.arange(seq_len)
    return _taken(ids, at_BT), _taken(ids, at_BT + 1)


def _taken(ids: Ids, at_BT: NDArray[np.integer[Any]]) -> Int64[Tensor, "B T"]:
    return torch.from_numpy(np.asarray(ids)[at_BT].astype(np.int64))
