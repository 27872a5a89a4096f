"""Paths of many tensors at once, of each no more than a count sketch: 4,096 sums in place of its increment.

A sketch is linear, s(W' - W) = s(W') - s(W), so no copy of a tensor is kept: what is held of the newest snapshot is its
sketch, in float64, whose difference to the next one is as exact as that of the snapshots. Increments are held in fp32.

Each of D numbers goes into one of B = 4,096 buckets by a random permutation, with a random sign. What two numbers of a
bucket add to <s(V), s(V')> has a random sign, so that its mean is <V, V'>; and a permutation that fills the buckets
evenly puts two numbers into the same one with a probability below 1/B. So the variance is at most
(‖V‖²‖V'‖² + <V, V'>²) / B, whatever V and V' are, heavy tails, rows and columns included: a length is known to
1/√(2B) = 1.1 % (one standard deviation), and a mean over a unit's tensors, whose errors hardly have anything in common,
to less. A tensor of at most B numbers is kept whole.

Legend: T tensors of one size, D numbers of each; P numbers in R rows of B, P = R·B ≥ D; n increments, m = n + 1; A
tensors of all sizes.
Source: Charikar, Chen and Farach-Colton 2002, "Finding frequent items in data streams"; the variance is that of AMS.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.geometry.gram import in_float64
from growlab.geometry.many import Grams, bordered_grams, path_statistics_of_all
from growlab.records import PathStatistics

BUCKETS = 4096
_MOST_AT_ONCE = 2**24  # numbers in float64 that are folded together: 128 MB


class Fold:
    """The one sketch of all tensors of a size: the same on every device, drawn by a generator of its own."""

    def __init__(self, n_entries: int, device: torch.device) -> None:
        random = torch.Generator().manual_seed(n_entries)
        padding = -n_entries % BUCKETS
        order = torch.randperm(n_entries, generator=random).int()
        sign = 2 * torch.randint(2, (n_entries,), generator=random).to(torch.int8) - 1
        self.order_P = nn.functional.pad(order, (0, padding)).to(device)
        self.sign_RB = nn.functional.pad(sign, (0, padding)).view(-1, BUCKETS).to(device)  # 0: nothing is there

    def __call__(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, "T B"]:
        """Sum each tensor into buckets, in an order that is always the same: no atomics."""
        return (x_TD.index_select(1, self.order_P).view(len(x_TD), *self.sign_RB.shape) * self.sign_RB).sum(1)


class Group:
    """All followed tensors of one size, in order, with what is held of their snapshots."""

    def __init__(self, n_entries: int, size: int) -> None:
        self.n_entries = n_entries
        self.keys: list[tuple[int, str]] = []  # identity of the unit, name of the tensor
        self.last: Tensor | None = None  # (T, B) in float64, (T, D) of tensors that are kept whole
        self.increments: deque[Tensor] = deque(maxlen=size - 1)
        self._fold: Fold | None = None

    def sketch(self, tensors: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "T B"]:
        """Sketch tensors of this size, in float64, or flatten them where they are small, (T, D)."""
        at_once = max(1, _MOST_AT_ONCE // self.n_entries)
        flat = [tensor.detach().flatten() for tensor in tensors]
        return torch.cat(
            [self._folded(in_float64(torch.stack(flat[at : at + at_once]))) for at in range(0, len(flat), at_once)]
        )

    def _folded(self, x_TD: Float[Tensor, "T D"]) -> Float[Tensor, "T B"]:
        if self.n_entries <= BUCKETS:
            return x_TD
        if self._fold is None:
            self._fold = Fold(self.n_entries, x_TD.device)
        return self._fold(x_TD)

    def append(self, newest_TB: Float[Tensor, "T B"]) -> Float[Tensor, "T m"] | None:
        """Move on to the newest. Returns the rows that are to border the matrices; None of the first snapshot."""
        last, self.last = self.last, newest_TB
        if last is None:
            return None
        increment_TB = (newest_TB - last).float()
        self.increments.append(increment_TB)
        held_mTB = in_float64(torch.stack(list(self.increments)))
        return (held_mTB * held_mTB[-1]).sum(2).T

    @property
    def flops(self) -> int:
        """The FLOPs of the newest snapshot: signs and sums, then a difference and m products of what is held."""
        folding = 2 * self.n_entries if self.n_entries > BUCKETS else 0
        n = len(self.increments)
        return len(self.keys) * (folding + (min(self.n_entries, BUCKETS) * (1 + 2 * n) if n else 0))


class Sketches:
    """A window of at most `size` snapshots of any number of units, as sketches on their own device."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._groups: dict[int, Group] = {}
        self._grams: Grams = torch.zeros(0, 0, 0, dtype=torch.float64)  # of all tensors, in the order of `_keys`

    def clear(self) -> None:
        self._groups.clear()
        self._grams = self._grams[:0, :0, :0]

    @torch.no_grad()
    def append(self, units: Mapping[int, nn.Module]) -> Float[Tensor, "A m"] | None:
        """Take a snapshot of units by identity, always the same ones until the next `clear`.

        Returns the rows for `border`, on their device, and waits for nothing; None of the first snapshot.
        """
        if not self._groups:
            self._arrange(units)
        parameters = {(unit, name): each for unit in units for name, each in units[unit].named_parameters()}
        rows = [group.append(group.sketch([parameters[key] for key in group.keys])) for group in self._groups.values()]
        known = [each for each in rows if each is not None]
        return torch.cat(known) if known else None

    def border(self, rows_Am: Float[Tensor, "A m"]) -> None:
        """Border the matrices with what `append` gave, on the CPU; the oldest increment falls out of a full window."""
        n_kept = rows_Am.shape[1] - 1
        held = self._grams if len(self._grams) else torch.zeros(len(rows_Am), 0, 0, dtype=torch.float64)
        oldest = held.shape[1] - n_kept
        self._grams = bordered_grams(held[:, oldest:, oldest:], rows_Am)

    @property
    def flops(self) -> int:
        """The FLOPs of the newest snapshot."""
        return sum(group.flops for group in self._groups.values())

    def statistics(self) -> dict[int, list[PathStatistics]]:
        """Statistics of every tensor's path, by the identity of its unit. Empty before the first increment."""
        of_units: dict[int, list[PathStatistics]] = {}
        if self._grams.shape[1]:
            for (unit, _), statistics in zip(self._keys(), path_statistics_of_all(self._grams), strict=True):
                of_units.setdefault(unit, []).append(statistics)
        return of_units

    # ---- in a checkpoint ------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Float[Tensor, "..."]]:
        """What a checkpoint holds besides the increments."""
        last = {f"last/{size}": group.last for size, group in self._groups.items() if group.last is not None}
        return {**last, "gram": self._grams} if last else {}

    def increments(self, at: int) -> dict[str, Float[Tensor, "T B"]]:
        """The increments of number `at` from the oldest, of all tensors of a size together."""
        return {str(size): group.increments[at] for size, group in self._groups.items()}

    def load(
        self,
        units: Mapping[int, nn.Module],
        tensors: Mapping[str, Float[Tensor, "..."]],
        increments: Sequence[Mapping[str, Float[Tensor, "..."]]],
        device: torch.device,
    ) -> None:
        """Go on from what `tensors` and `increments` gave. Raises KeyError for what is missing."""
        self.clear()
        self._arrange(units)
        for size, group in self._groups.items():
            group.last = _held_on(device, tensors[f"last/{size}"])
            group.increments.extend(_held_on(device, increment[str(size)]) for increment in increments)
        if self._groups:
            self._grams = tensors["gram"]

    def _arrange(self, units: Mapping[int, nn.Module]) -> None:
        for unit in sorted(units):
            for name, parameter in units[unit].named_parameters():
                size = parameter.numel()
                self._groups.setdefault(size, Group(size, self.size)).keys.append((unit, name))

    def _keys(self) -> list[tuple[int, str]]:
        return [key for group in self._groups.values() for key in group.keys]


def _held_on(device: torch.device, tensor: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Move what is held to the device where snapshots of it are made: of MPS, which has no float64, the CPU."""
    return tensor if device.type == "mps" else tensor.to(device)
