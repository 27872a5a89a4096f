"""The figures of a block alone, by its kernels and by its definitions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from growlab.bench.roofline import Roofline
from growlab.bench.rows import OUT_OF_MEMORY


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """One line of `growlab bench --block`; names and order are the columns of TSV and JSON. None: not known."""

    what: str  # a block as people write it
    layout: str
    form: str  # kernels, definitions; '' of a block that has no kernel here
    kernels: str  # the names of those that it calls
    batch_size: int
    seq_len: int
    forward_ms: float | None = None  # medians of the rounds
    backward_ms: float | None = None  # of both passes less that of the forward one
    both_ms: float | None = None
    both_ms_min: float | None = None
    both_ms_max: float | None = None
    tokens_per_s: float | None = None  # of both passes
    flops: int | None = None  # of both passes
    fewest_bytes: int | None = None  # that both passes must move
    precision: str = ""
    roofline_share: float | None = None  # the least time of both passes over the measured one
    roofline_bound: str = ""  # what takes that least time: compute | memory
    peak_bytes: int | None = None  # of the device, with weights, the stream and all gradients
    engine: str = ""
    error: str = ""

    @property
    def failure(self) -> str:
        """The error in few words, for the cell of a table."""
        return self.error if self.error in ("", OUT_OF_MEMORY) else "failed"


@dataclass(frozen=True, kw_only=True)
class BlockReport:
    device: Mapping[str, str | int]
    versions: Mapping[str, str]
    roofline: Roofline
    settings: Mapping[str, object]
    rows: Sequence[BlockRow]

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> list[str]:
        return []
