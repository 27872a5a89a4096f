"""Blocks one after another, each at several lengths: by its kernels, and beside them by its definitions."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from growlab.bench.block_rows import BlockReport, BlockRow
from growlab.bench.machine import describe_device, describe_versions
from growlab.bench.passes import Passes, Passing, kernels_of, pass_bytes, pass_flops, time_passes
from growlab.bench.roofline import PRECISIONS, Roofline, matmul_dtype, measure_roofline
from growlab.bench.rows import OUT_OF_MEMORY
from growlab.errors import GrowlabError, UsageError
from growlab.escapes import first_line
from growlab.faults import is_out_of_memory
from growlab.kinds import KINDS, block_kinds, complete_block, shorten_block
from growlab.layout import BlockSpec, Layout, parse_blocks
from growlab.preparation.telling import Tell
from growlab.training.engine import COMPILE_FROM, Execution, choose_execution

ALL = "all"  # in the place of a block: an example of each kind
PRECISION = "auto"  # of train.precision


@dataclass(frozen=True, kw_only=True)
class BlockSizes:
    """How large what is measured is."""

    d_model: int
    lengths: Sequence[int]  # tokens of a sequence
    n_tokens: int  # of a batch, where that holds a sequence
    batch_size: int | None  # of all lengths, in place of that

    def batch_of(self, seq_len: int) -> int:
        return self.batch_size or max(1, self.n_tokens // seq_len)


def blocks_of(texts: Sequence[str], d_model: int) -> list[BlockSpec]:
    """The complete blocks that texts name, for 'all' an example of each kind.

    Raises UsageError for a text of several blocks, LayoutError, UnknownName.
    """
    found = []
    for text in texts:
        named = [KINDS[kind].example for kind in block_kinds()] if text == ALL else parse_blocks(text)
        if text != ALL and len(named) != 1:
            raise UsageError(f"--block {text!r} must be one block, such as 'mamba', or 'all'; got {len(named)}")
        found += [complete_block(block, d_model) for block in named]
    return found


def survey_blocks(
    blocks: Sequence[BlockSpec],
    sizes: BlockSizes,
    device: torch.device,
    *,
    settings: Mapping[str, object],
    n_steps: int,
    n_rounds: int,
    tell: Tell,
) -> BlockReport:
    """Measure the roofline, and rows for each block at each length.

    Raises GrowlabError when there is no memory even for the roofline, UsageError for an engine that cannot be.
    """
    execution = choose_execution(device, COMPILE_FROM)
    tell(f"measuring the roofline of {device} …")
    surveyor = _Surveyor(
        sizes=sizes,
        device=device,
        execution=execution,
        roofline=measure_roofline(PRECISION, device),
        n_steps=n_steps,
        n_rounds=n_rounds,
        tell=tell,
    )
    return BlockReport(
        device=describe_device(device),
        versions=describe_versions(),
        roofline=surveyor.roofline,
        settings={**settings, "steps": n_steps, "rounds": n_rounds},
        rows=tuple(row for block in blocks for length in sizes.lengths for row in surveyor.rows(block, length)),
    )


@dataclass(frozen=True, kw_only=True)
class _Surveyor:
    sizes: BlockSizes
    device: torch.device
    execution: Execution
    roofline: Roofline
    n_steps: int
    n_rounds: int
    tell: Tell

    def rows(self, block: BlockSpec, seq_len: int) -> Iterator[BlockRow]:
        """A row of the block as it is; of one that calls kernels, another one of its definitions."""
        passing = Passing(
            spec=block,
            d_model=self.sizes.d_model,
            batch_size=self.sizes.batch_of(seq_len),
            seq_len=seq_len,
            precision=PRECISION,
            execution=self.execution,
        )
        row = self._plain_row(passing)
        self.tell(f"{row.what}, {row.batch_size} × {seq_len} …")
        try:
            kernels = kernels_of(replace(passing, batch_size=1, seq_len=min(seq_len, 64)), self.device)
        except Exception as error:
            yield replace(row, error=self._error(error))
            return
        if not kernels:
            yield self._measured(row, passing)
            return
        row = replace(row, kernels=", ".join(kernels))
        yield self._measured(replace(row, form="kernels"), passing)
        yield self._measured(replace(row, form="definitions"), replace(passing, by_definitions=True))

    def _plain_row(self, passing: Passing) -> BlockRow:
        block = shorten_block(passing.spec)
        return BlockRow(
            what=str(block),
            layout=str(Layout(passing.d_model, (block,))),
            form="",
            kernels="",
            batch_size=passing.batch_size,
            seq_len=passing.seq_len,
            flops=pass_flops(passing),
            fewest_bytes=pass_bytes(passing),
            precision=PRECISIONS[matmul_dtype(PRECISION, self.device)],
        )

    def _measured(self, row: BlockRow, passing: Passing) -> BlockRow:
        try:
            return self._with_passes(
                row, time_passes(passing, self.device, n_steps=self.n_steps, n_rounds=self.n_rounds)
            )
        except Exception as error:  # a plugin may raise anything; what was measured before is not to be lost
            return replace(row, error=self._error(error))

    def _error(self, error: Exception) -> str:
        if isinstance(error, GrowlabError):
            raise error
        if is_out_of_memory(error):
            return OUT_OF_MEMORY
        if os.environ.get("GROWLAB_DEBUG"):
            raise error
        return f"{type(error).__name__}: {first_line(str(error))}"

    def _with_passes(self, row: BlockRow, passes: Passes) -> BlockRow:
        forward_s, both_s = statistics.median(passes.forward_s), statistics.median(passes.both_s)
        work = row.flops or 0, row.fewest_bytes or 0
        return replace(
            row,
            forward_ms=1000 * forward_s,
            backward_ms=1000 * max(0.0, both_s - forward_s),
            both_ms=1000 * both_s,
            both_ms_min=1000 * min(passes.both_s),
            both_ms_max=1000 * max(passes.both_s),
            tokens_per_s=row.batch_size * row.seq_len / both_s,
            roofline_share=self.roofline.floor_s(*work) / both_s,
            roofline_bound=self.roofline.bound(*work),
            peak_bytes=passes.peak_bytes,
            engine=passes.engine,
        )
