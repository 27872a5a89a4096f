"""Windows of a split as tensors; y is x shifted by one: the token to predict.

Where y is IGNORED nothing is predicted: of a synthetic task, and of questions, only the answers count. The data
position of a run is one integer, its step: nothing here remembers anything.

Legend: B windows, T tokens.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from growlab.data.tasks import Sequences, TaskSplit
from growlab.data.tokens import Ids
from growlab.data.turns import TurnSplit

IGNORED = -100  # which F.cross_entropy leaves out of its mean

Batch = tuple[Int64[Tensor, "B T"], Int64[Tensor, "B T"]]  # x, y; contiguous, on the CPU


def window_offsets(n_tokens: int, seq_len: int, batch_size: int, seed: int, step: int) -> NDArray[np.int64]:
    """Offsets of the windows of one training step: (batch_size,), int64, uniform on [0, n_tokens - seq_len - 1].

    A pure function: Philox is keyed by (seed, step), both taken modulo 2**64. The split must hold
    seq_len + 1 tokens (growlab.data.require_windows says so to people).
    """
    n_windows = n_tokens - seq_len
    assert n_windows >= 1, f"{n_tokens} tokens hold no window of {seq_len} + 1"
    key = np.array([seed % 2**64, step % 2**64], dtype=np.uint64)
    # Raw bits, as numpy promises their stream for ever, but not that of Generator.integers.
    # The remainder's bias is n_windows / 2**64.
    return (np.random.Philox(key=key).random_raw(batch_size) % np.uint64(n_windows)).astype(np.int64)


def training_batch(ids: Ids | TaskSplit | TurnSplit, seq_len: int, batch_size: int, seed: int, step: int) -> Batch:
    """The windows of one training step: two (batch_size, seq_len) int64 tensors. A pure function."""
    if isinstance(ids, TaskSplit | TurnSplit):
        return _masked(ids.training(batch_size, seq_len + 1, seed, step))
    return _windows(ids, window_offsets(ids.size, seq_len, batch_size, seed, step), seq_len)


def validation_batches(ids: Ids | TaskSplit | TurnSplit, seq_len: int, batch_size: int) -> Iterator[Batch]:
    """Yield one full pass in reading order: every token but the first is predicted exactly once.

    Non-overlapping windows, batch_size at a time; what is left over is a shorter window, last and
    alone. Weigh a mean over batches by n_predicted(y). Yields nothing for fewer than two tokens.
    A task yields its held-out sequences, the same for any batch_size; questions and answers come whole, whatever
    seq_len is, as many at once as batch_size windows have tokens.
    """
    if isinstance(ids, TurnSplit):
        yield from map(_masked, ids.held_out(batch_size * (seq_len + 1)))
        return
    if isinstance(ids, TaskSplit):
        ids_BL, answers_BL = ids.held_out(seq_len + 1)
        for first in range(0, len(ids_BL), batch_size):
            yield _masked((ids_BL[first : first + batch_size], answers_BL[first : first + batch_size]))
        return
    n_full, n_rest = divmod(max(ids.size - 1, 0), seq_len)
    offsets = np.arange(n_full, dtype=np.int64) * seq_len
    for first in range(0, n_full, batch_size):
        yield _windows(ids, offsets[first : first + batch_size], seq_len)
    if n_rest:
        yield _windows(ids, np.array([n_full * seq_len]), n_rest)


def n_predicted(y_BT: Int64[Tensor, "B T"]) -> int:
    """Count the targets that are predicted."""
    return int((y_BT != IGNORED).sum())


def _masked(sequences: Sequences) -> Batch:
    ids_BL, answers_BL = sequences
    y_BT = np.where(answers_BL[:, 1:], ids_BL[:, 1:], IGNORED)
    return torch.from_numpy(ids_BL[:, :-1].copy()), torch.from_numpy(y_BT)


def _windows(ids: Ids, offsets_B: NDArray[np.int64], seq_len: int) -> Batch:
    at_BT = offsets_B[:, None] + np.arange(seq_len)
    return _taken(ids, at_BT), _taken(ids, at_BT + 1)


def _taken(ids: Ids, at_BT: NDArray[np.integer[Any]]) -> Int64[Tensor, "B T"]:
    return torch.from_numpy(np.asarray(ids)[at_BT].astype(np.int64))
