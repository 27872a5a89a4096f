"""Whether a trial is to blame for its error, and the result of one that is. Pure functions."""

from typing import TYPE_CHECKING

from growlab.amounts import gib
from growlab.escapes import first_line
from growlab.layout import n_run, parse
from growlab.records import TrialResult, TrialState
from growlab.specs import TrialSpec

if TYPE_CHECKING:
    from growlab.training.device import DeviceMemory

CONTEXT_BYTES = 512 << 20  # what CUDA itself holds for a process, beside torch's tensors
NEIGHBOURS_SHARE = 0.1  # of a device's memory that others may hold without being to blame


def held_by_others(memory: "DeviceMemory") -> int:
    """Bytes of the device that other processes hold; a CUDA context of our own is not counted."""
    return max(0, memory.total - memory.free - memory.reserved - CONTEXT_BYTES)


def crowded_out(memory: "DeviceMemory | None") -> str:
    """The reason why a trial may fit another time: others hold more than a tenth of the device. '' if none do."""
    if memory is None or held_by_others(memory) <= NEIGHBOURS_SHARE * memory.total:
        return ""
    return (
        f"out of memory beside others, which hold {gib(held_by_others(memory))} "
        f"of the device's {gib(memory.total)}; fewer --slots leave more to each"
    )


def out_of_memory(spec: TrialSpec, layout: str, message: str) -> TrialResult:
    """The result of a trial that does not fit on the device: it fails, and the search learns from it."""
    reason = f"out of memory: {first_line(message)}".removesuffix(": ")  # a MemoryError says nothing
    return failed_at_once(spec, layout, reason)


def failed_at_once(spec: TrialSpec, layout: str, error: str) -> TrialResult:
    """The result of a trial of which no step is known."""
    return TrialResult(
        state=TrialState.FAILED,
        layout_end=layout,
        depth_end=n_run(parse(spec.layout).blocks),
        n_params=0,
        val_loss=None,
        best_val_loss=None,
        bits_per_byte=None,
        flops=0,
        tokens=0,
        steps=0,
        elapsed_s=0.0,
        error=error,
    )
