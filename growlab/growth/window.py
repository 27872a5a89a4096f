"""The last snapshots of one unit: an owned copy of the newest, and the increments that led to it.

Legend: m increments, the newest among them.
"""

from collections import deque
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.geometry.gram import Gram, bordered, newest_row
from growlab.geometry.trajectory import path_statistics
from growlab.growth.path import TensorPath
from growlab.records import PathStatistics


@dataclass
class Track:
    """One tensor's part of the window."""

    last: Tensor
    increments: deque[Tensor]
    gram: Gram = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    def append(self, newest: Float[Tensor, "*shape"]) -> Float[Tensor, " m"]:
        """Move on to the newest; the oldest increment falls out when full.

        Returns the row that is to border the matrix.
        """
        increment = newest - self.last
        if len(self.increments) == self.increments.maxlen:
            self.increments.popleft()
            self.gram = self.gram[1:, 1:]
        row = newest_row(self.increments, increment)
        self.increments.append(increment)
        self.last = newest
        return row


class Window:
    """A window of at most `size` snapshots of the parameters of one unit, by name; size - 1 increments are kept.

    Snapshots are clones: `detach().cpu()` of a CPU tensor is a view of the live weight, and a window of
    such views never moves. Costs size copies of the unit, on its own device.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.tracks: dict[str, Track] = {}
        self.n_taken = 0  # increments ever taken: the newest one's serial number is n_taken - 1

    def __len__(self) -> int:
        """The number of snapshots held."""
        return 1 + len(next(iter(self.tracks.values())).increments) if self.tracks else 0

    def clear(self) -> None:
        self.tracks.clear()

    @torch.no_grad()
    def snapshot(self, unit: nn.Module) -> int:
        """Take a snapshot; the oldest falls out when the window is full. Returns the FLOPs it cost.

        Waits for a CUDA device once, whatever the number of tensors.
        """
        copies = {name: parameter.detach().clone() for name, parameter in unit.named_parameters()}
        if not self.tracks:
            self.tracks = {name: Track(copy, deque(maxlen=self.size - 1)) for name, copy in copies.items()}
            return 0
        self.n_taken += 1
        rows = [self.tracks[name].append(copy) for name, copy in copies.items()]
        for name, row in zip(copies, torch.stack(rows).cpu(), strict=True):
            self.tracks[name].gram = bordered(self.tracks[name].gram, row)
        n = len(self) - 1
        return sum(copy.numel() for copy in copies.values()) * (1 + 2 * n)

    def statistics(self) -> dict[str, PathStatistics]:
        """Statistics of every tensor's path, by name. Empty before the first increment."""
        return {name: path_statistics(track.gram) for name, track in self.tracks.items() if len(track.increments)}

    def increments(self) -> dict[int, dict[str, Float[Tensor, "..."]]]:
        """Increments of every tensor by serial number, oldest first. A serial number is never used again."""
        n = len(self) - 1
        return {
            self.n_taken - n + at: {name: track.increments[at] for name, track in self.tracks.items()}
            for at in range(n)
        }

    def path(self, name: str) -> TensorPath:
        track = self.tracks[name]
        return TensorPath(last=track.last, increments=list(track.increments), gram=track.gram, name=name)
