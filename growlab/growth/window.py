"""The last snapshots of one unit: an owned copy of the newest, and the increments that led to it.

Legend: m increments, the newest among them.
"""

from collections import deque
from collections.abc import Mapping, Sequence
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
    keeps: torch.dtype | None = None  # of the increments; None: that of the tensor
    gram: Gram = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.float64))

    def append(self, newest: Float[Tensor, "*shape"]) -> Float[Tensor, " m"]:
        """Move on to the newest; the oldest increment falls out when full.

        Returns the row that is to border the matrix.
        """
        increment = newest - self.last
        if self.keeps is not None:
            increment = increment.to(self.keeps)
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
    such views never moves. Costs size copies of the unit, on its own device; about half as much where it `keeps`
    increments in bf16, which are rounded once they are formed: the Gram matrix is that of what is kept.
    """

    def __init__(self, size: int, keeps: torch.dtype | None = None) -> None:
        self.size, self.keeps = size, keeps
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
        if rows := self.append(unit):
            self.border(dict(zip(rows, torch.stack(list(rows.values())).cpu(), strict=True)))
        return self.flops

    @torch.no_grad()
    def append(self, unit: nn.Module) -> dict[str, Float[Tensor, " m"]]:
        """Take a snapshot and wait for nothing. Returns the rows for `border`, on their device; none of the first."""
        copies = {name: parameter.detach().clone() for name, parameter in unit.named_parameters()}
        if not self.tracks:
            self.tracks = {name: Track(copy, self._none(), self.keeps) for name, copy in copies.items()}
            return {}
        self.n_taken += 1
        return {name: self.tracks[name].append(copy) for name, copy in copies.items()}

    def border(self, rows: Mapping[str, Float[Tensor, " m"]]) -> None:
        """Border the matrices with what `append` gave, on the CPU."""
        for name, row in rows.items():
            self.tracks[name].gram = bordered(self.tracks[name].gram, row)

    @property
    def flops(self) -> int:
        """The FLOPs of the newest snapshot: a difference, and a product and a sum for each increment that is held."""
        n = len(self) - 1
        return sum(track.last.numel() for track in self.tracks.values()) * (1 + 2 * n) if n > 0 else 0

    def _none(self) -> deque[Tensor]:
        return deque(maxlen=self.size - 1)

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

    # ---- in a checkpoint ------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Float[Tensor, "..."]]:
        """What a checkpoint holds besides the increments."""
        return {
            f"{name}/{part}": tensor
            for name, track in self.tracks.items()
            for part, tensor in (("last", track.last), ("gram", track.gram))
        }

    def load(
        self,
        unit: nn.Module,
        tensors: Mapping[str, Float[Tensor, "..."]],
        increments: Sequence[Mapping[str, Float[Tensor, "..."]]],
        device: torch.device,
    ) -> None:
        """Go on from what `tensors` and `increments` gave, in the order in which snapshots have the unit's tensors.

        The last bit of a mean depends on it. Raises KeyError for what is missing.
        """
        self.tracks = {}
        for name, _ in unit.named_parameters():
            held, gram = self._none(), tensors[f"{name}/gram"]
            held.extend(increment[name].to(device) for increment in increments)
            self.tracks[name] = Track(tensors[f"{name}/last"].to(device), held, self.keeps, gram)
