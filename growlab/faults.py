"""What torch says of a fault, read in one place: too little memory, a failed device, a refused operation."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_NO_ROOM = (
    "can't allocate memory",
    "MPS backend out of memory",
    "CUDA error: out of memory",  # of what CUDA allocates beside torch: a context, a recorded graph
    "Triton Error [CUDA]: out of memory",  # of a kernel that is loaded
    "_ALLOC_FAILED",  # CUBLAS_STATUS_…, CUDNN_STATUS_…, CUFFT…: of a library's workspace
    "DEVICE_ALLOCATION_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too short.

    With CUDA that mostly has a type of its own; elsewhere torch raises a RuntimeError of its allocator.

    What was being handled when `error` came counts: a recording that runs out of memory fails once more as it ends.
    """
    return any(_lacks_memory(cause) for cause in _with_causes(error))


def shortage(error: BaseException) -> str:
    """The message of the one among an error and its causes that is of memory: what came after it says less."""
    return next((str(cause) for cause in _with_causes(error) if _lacks_memory(cause)), str(error))


@contextmanager
def unless_memory_is_short() -> Iterator[None]:
    """Leave what is within undone where there is too little memory for it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise


def is_of_device(error: BaseException) -> bool:
    """Whether the device itself failed or is full, so that another program would fare no better."""
    return any(isinstance(cause, torch.AcceleratorError) or _finds_no_room(cause) for cause in _with_causes(error))


def _lacks_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or _finds_no_room(error)


def _finds_no_room(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _NO_ROOM)


def refused_operation(error: BaseException) -> str:
    """Say what a user is to do whose trial needs an operation that --deterministic forbids; '' of any other error."""
    for cause in _with_causes(error):
        operation, refused, _ = str(cause).partition(" does not have a deterministic implementation")
        if refused:
            return (
                f"--deterministic: {operation} has no deterministic form on this device; "
                "leave --deterministic out, or the block that uses it"
            )
    return ""


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, and what was being handled as it came, and so on."""
    while error is not None:
        yield error
        error = error.__context__
