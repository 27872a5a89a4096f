"""A CUDA graph that is recorded, and what an error in the middle of it leaves behind.

Where a recording is broken off, as memory ends in it, torch goes on as if it were under way: its allocator gives back
nothing that it keeps when memory is short, and its generator draws nothing outside of a recording. Nothing undoes that
but another process: whoever trains one trial after another asks `broke_off`.

Source: CUDAGraph::capture_end of torch 2.11, which tells allocator and generators last, where nothing went wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_broke_off = False


def broke_off() -> bool:
    """Whether a recording of this process was broken off, so that nothing else should be trained in it."""
    return _broke_off


@contextmanager
def recording(
    graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream, pool: tuple[int, int] | None = None
) -> Iterator[None]:
    """Record what is launched within, on a stream, in the memory of `pool` or in memory of its own.

    Without what `torch.cuda.graph` does first: wait, and give back what memory torch keeps.
    """
    global _broke_off
    try:
        with torch.cuda.stream(stream):
            graph.capture_begin(*(() if pool is None else (pool,)))
            try:
                yield
            finally:
                graph.capture_end()
    except BaseException:
        _broke_off = True
        raise
