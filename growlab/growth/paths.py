"""The paths of all units that a trial watches, in one window's time: begun together, looked at together.

The newest unit's whole, in its own precision: what the trigger acts on. Another's, where a new unit is to be made of
it, with increments in bf16; all others as sketches. With all of them a device is waited for once a snapshot.

Legend: m numbers of a row; A tensors.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from growlab.growth.sketch import Sketches
from growlab.growth.window import Window
from growlab.records import PathStatistics

KEPT_OF_OTHERS = torch.bfloat16  # increments: rounding is noise of 2^-9 of each number, and τ moves by 1e-6


class Paths:
    """Windows of at most `size` snapshots of units, by identity (growlab.growth.identity)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.newest = Window(size)
        self.others: dict[int, Window] = {}
        self.sketches = Sketches(size)

    def clear(self) -> None:
        self.newest.clear()
        self.others.clear()
        self.sketches.clear()

    def snapshot(self, newest: nn.Module, others: Mapping[int, nn.Module], sketched: Mapping[int, nn.Module]) -> int:
        """Take a snapshot of the newest unit, of `others` whole, and a sketch of the rest; until the next `clear`
        always of the same ones. Returns the FLOPs it cost.
        """
        for unit in others:
            self.others.setdefault(unit, Window(self.size, KEPT_OF_OTHERS))
        windows = [self.newest, *(self.others[unit] for unit in others)]
        of_windows = [window.append(unit) for window, unit in zip(windows, (newest, *others.values()), strict=True)]
        of_sketches = self.sketches.append(sketched)
        self._border(windows, of_windows, of_sketches)
        return sum(window.flops for window in windows) + self.sketches.flops

    def _border(
        self,
        windows: Sequence[Window],
        of_windows: Sequence[Mapping[str, Float[Tensor, " m"]]],
        of_sketches: Float[Tensor, "A m"] | None,
    ) -> None:
        """Lead all rows to their matrices, in one copy from the device."""
        whole = [row for rows in of_windows for row in rows.values()]
        if not whole:
            return
        rows = torch.cat([torch.stack(whole), *([] if of_sketches is None else [of_sketches])]).cpu()
        one_by_one = iter(rows)
        for window, its_rows in zip(windows, of_windows, strict=True):
            window.border({name: next(one_by_one) for name in its_rows})
        if of_sketches is not None:
            self.sketches.border(rows[len(whole) :])

    def statistics_of_others(self) -> dict[int, list[PathStatistics]]:
        """Statistics of every tensor's path of the units besides the newest, by identity."""
        of_windows = {unit: list(window.statistics().values()) for unit, window in self.others.items()}
        return of_windows | self.sketches.statistics()

    # ---- in a checkpoint ------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Float[Tensor, "..."]]:
        """What a checkpoint holds besides the increments."""
        of_parts = {"window/": self.newest.tensors(), "sketch/": self.sketches.tensors()}
        of_parts |= {f"path/{unit}/": window.tensors() for unit, window in self.others.items()}
        return {prefix + name: tensor for prefix, held in of_parts.items() for name, tensor in held.items()}

    def increments(self) -> dict[int, dict[str, Float[Tensor, "..."]]]:
        """Increments of all paths by serial number, oldest first. A serial number is never used again."""
        return {
            serial: {
                **of_newest,
                **{
                    f"path/{unit}/{name}": track.increments[at]
                    for unit, window in self.others.items()
                    for name, track in window.tracks.items()
                },
                **{f"sketch/{name}": tensor for name, tensor in self.sketches.increments(at).items()},
            }
            for at, (serial, of_newest) in enumerate(self.newest.increments().items())
        }

    def load(
        self,
        newest: nn.Module,
        others: Mapping[int, nn.Module],
        sketched: Mapping[int, nn.Module],
        tensors: Mapping[str, Shaped[Tensor, "..."]],
        increments: Sequence[Mapping[str, Float[Tensor, "..."]]],
        device: torch.device,
    ) -> None:
        """Go on from what `tensors` and `increments` gave. Raises KeyError for what is missing."""
        self.clear()
        if not _Below("window/", tensors):  # there was no snapshot yet
            return
        self.newest.load(newest, _Below("window/", tensors), increments, device)
        for unit, module in others.items():
            self.others[unit] = Window(self.size, KEPT_OF_OTHERS)
            of_unit = [_Below(f"path/{unit}/", held) for held in increments]
            self.others[unit].load(module, _Below(f"path/{unit}/", tensors), of_unit, device)
        of_sketches = [_Below("sketch/", held) for held in increments]
        self.sketches.load(sketched, _Below("sketch/", tensors), of_sketches, device)


class _Below(Mapping[str, Shaped[Tensor, "..."]]):
    """Those of the tensors whose names begin with a prefix, without it; what is missing is told with it."""

    def __init__(self, prefix: str, tensors: Mapping[str, Shaped[Tensor, "..."]]) -> None:
        self.prefix, self.tensors = prefix, tensors

    def __getitem__(self, name: str) -> Float[Tensor, "..."]:
        return self.tensors[self.prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self.prefix) for name in self.tensors if name.startswith(self.prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)
