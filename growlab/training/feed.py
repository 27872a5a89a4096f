"""Where the batch of a step comes from: made by the CPU and copied, or gathered on the device from the whole split.

Both give the same windows for the same seed and step. `inputs` is what has to cross to the device before a step,
`batch` what the step makes of it there: the second can be part of a recorded step, the first cannot.

Legend: B windows, T tokens, N tokens of the split.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from growlab.data.batches import Batch, training_batch, window_offsets
from growlab.data.corpus import Split
from growlab.data.tokens import Ids
from growlab.specs import TrainSpec

_SHARE = 0.1  # of a device's free memory that a split may take
_BYTES = 4  # of an id there: few operations know narrower unsigned numbers


class Feed(Protocol):
    def inputs(self, step: int) -> tuple[Int64[Tensor, "..."], ...]:
        """Put the inputs of a step on the device, of the same shapes for every step.

        Does not wait for the device, where that can be had.
        """
        ...

    def batch(self, *inputs: Int64[Tensor, "..."]) -> tuple[Int64[Tensor, "B T"], Int64[Tensor, "B T"]]:
        """Make x and y of a step's inputs. Never waits for the device."""
        ...


class HostFeed:
    """A feed that makes batches on the host: on a CPU, and for tasks, questions and splits too large for the device."""

    def __init__(self, split: Split, train: TrainSpec, seed: int, device: torch.device) -> None:
        self._split, self._train, self._seed, self._device = split, train, seed, device

    def inputs(self, step: int) -> tuple[Int64[Tensor, "..."], ...]:
        return tuple(tensor.to(self._device) for tensor in self._made(step))

    def batch(self, *inputs: Int64[Tensor, "B T"]) -> tuple[Int64[Tensor, "B T"], Int64[Tensor, "B T"]]:
        x_BT, y_BT = inputs
        return x_BT, y_BT

    def _made(self, step: int) -> Batch:
        train = self._train
        return training_batch(self._split, train.seq_len, train.batch_size, self._seed, step)


class PrefetchingFeed(HostFeed):
    """A feed from the host to a CUDA device: another thread makes the next step's batch while the device computes.

    That thread never calls CUDA: a step may be recorded meanwhile, and memory that any thread pins breaks a recording.
    It ends when the feed is collected.
    """

    def __init__(self, split: Split, train: TrainSpec, seed: int, device: torch.device) -> None:
        super().__init__(split, train, seed, device)
        self._thread = ThreadPoolExecutor(1, "batches")
        self._ahead: dict[int, Future[Batch]] = {}

    def inputs(self, step: int) -> tuple[Int64[Tensor, "..."], ...]:
        batch = self._ahead.pop(step, None) or self._thread.submit(self._made, step)
        self._ahead = {step + 1: self._thread.submit(self._made, step + 1)}
        return tuple(tensor.pin_memory().to(self._device, non_blocking=True) for tensor in batch.result())


class DeviceFeed:
    """A feed from a split on the device; only the offsets of the windows cross, a few hundred bytes."""

    def __init__(self, ids: Ids, train: TrainSpec, seed: int, device: torch.device) -> None:
        self._train, self._seed, self._device = train, seed, device
        self._ids_N = torch.from_numpy(np.asarray(ids, dtype=np.int32)).to(device)
        self._positions_T = torch.arange(train.seq_len, device=device)

    def inputs(self, step: int) -> tuple[Int64[Tensor, "..."], ...]:
        train, n_tokens = self._train, len(self._ids_N)
        offsets_B = window_offsets(n_tokens, train.seq_len, train.batch_size, self._seed, step)
        return (torch.from_numpy(offsets_B).to(self._device, non_blocking=True),)

    def batch(self, *inputs: Int64[Tensor, " B"]) -> tuple[Int64[Tensor, "B T"], Int64[Tensor, "B T"]]:
        (offsets_B,) = inputs
        at_BT = offsets_B[:, None] + self._positions_T
        return self._ids_N[at_BT].long(), self._ids_N[at_BT + 1].long()


def feed_for(split: Split, train: TrainSpec, seed: int, device: torch.device) -> Feed:
    """Choose a feed: the device itself where that is a CUDA device of which the split takes little free memory."""
    if device.type != "cuda":  # MPS may read what was freed (pytorch#189690), so nothing is copied ahead there
        return HostFeed(split, train, seed, device)
    free, _ = torch.cuda.mem_get_info(device)
    if not isinstance(split, np.ndarray) or split.size * _BYTES > _SHARE * free:
        return PrefetchingFeed(split, train, seed, device)
    return DeviceFeed(split, train, seed, device)
