"""The last snapshots of one unit: an owned copy of the newest, and the increments that led to it."""

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from growlab.geometry.gram import Gram, extend_gram
from growlab.geometry.trajectory import Shape, measure
from growlab.growth.operators import TensorPath


@dataclass
class Track:
    """One tensor's part of the window."""

    last: Tensor
    increments: deque[Tensor]
    gram: Gram = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    def append(self, increment: Tensor, last: Tensor) -> None:
        if len(self.increments) == self.increments.maxlen:
            self.increments.popleft()
            self.gram = self.gram[1:, 1:]
        self.gram = extend_gram(self.gram, self.increments, increment)
        self.increments.append(increment)
        self.last = last


class Window:
    """At most `size` snapshots of the parameters of one unit, by name; size - 1 increments are kept.

    Snapshots are clones: `detach().cpu()` of a CPU tensor is a view of the live weight, and a window of
    such views never moves. Costs size copies of the unit, on its own device.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.tracks: dict[str, Track] = {}
        self.n_taken = 0  # increments ever taken: the newest one's serial number is n_taken - 1

    def __len__(self) -> int:
        """Snapshots held."""
        return 1 + len(next(iter(self.tracks.values())).increments) if self.tracks else 0

    def clear(self) -> None:
        self.tracks.clear()

    @torch.no_grad()
    def snapshot(self, unit: nn.Module) -> int:
        """Take one; the oldest falls out when the window is full. Returns the FLOPs it cost."""
        flops = 0
        self.n_taken += len(self) > 0
        for name, parameter in unit.named_parameters():
            newest = parameter.detach().clone()
            track = self.tracks.get(name)
            if track is None:
                self.tracks[name] = Track(newest, deque(maxlen=self.size - 1))
                continue
            track.append(newest - track.last, newest)
            flops += newest.numel() * (1 + 2 * len(track.increments))
        return flops

    def shapes(self) -> dict[str, Shape]:
        """The path of each tensor. Empty before the first increment."""
        return {name: measure(track.gram) for name, track in self.tracks.items() if len(track.increments)}

    def increments(self) -> dict[int, dict[str, Tensor]]:
        """Serial number to the increment of every tensor, oldest first. A serial number is never used again."""
        n = len(self) - 1
        return {
            self.n_taken - n + at: {name: track.increments[at] for name, track in self.tracks.items()}
            for at in range(n)
        }

    def path(self, name: str) -> TensorPath:
        track = self.tracks[name]
        return TensorPath(last=track.last, increments=list(track.increments), gram=track.gram)
