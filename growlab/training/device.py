"""Where a trial runs, and in which precision.

Legend: N bytes of a generator's state.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from growlab.errors import UsageError

KEPT_SHARE = 1 / 64  # of a CUDA device's memory that a process may keep unused
_KNOWN = "cpu, cuda, cuda:1, mps or auto"


@dataclass(frozen=True, kw_only=True)
class DeviceMemory:
    """Memory of a device, in bytes. What other processes hold is in neither `free` nor `reserved`."""

    total: int
    free: int
    reserved: int  # by torch in this process; its CUDA context comes on top
    peak: int  # the most that was reserved so far


def resolve_device(name: str) -> torch.device:
    """Find a device: cpu | cuda | cuda:1 | mps | auto (a GPU if there is one).

    Raises UsageError for what is not there.
    """
    if name == "auto":
        return torch.device(next(iter(_gpus()), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use {_KNOWN}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {name!r} is not supported; use {_KNOWN}")
    if device.type not in ("cpu", *(name.partition(":")[0] for name in _gpus())):
        raise UsageError(f"device {name!r}: this machine has no usable GPU of that kind; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPU(s), counted from cuda:0")
    return device


def every_gpu() -> list[str]:
    """The names of all GPUs of this machine. Raises UsageError when it has none."""
    if gpus := _gpus():
        return gpus
    raise UsageError("device 'all': this machine has no usable GPU; use --device cpu")


def use_device(name: str, deterministic: bool = False) -> torch.device:
    """Find a device as resolve_device does, and set this process up to train on it.

    Whoever asks for fp32 gets fp32: cuDNN would compute convolutions in TF32, with ten bits. And what a library
    does without naming a device, it does on this one: a worker of cuda:1 must not fill the memory of cuda:0.
    With `deterministic` an operation gives the same bits twice, or raises the RuntimeError that names it.
    """
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # before CUDA starts, which reads it once
    # use_deterministic_algorithms sets up a compiler too, which takes a second and is not used
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False  # which picks by time, that is by chance
    device = resolve_device(name)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 where asked for; `auto` asks for it on a CUDA device that has bf16. Weights stay fp32."""
    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core within."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rng_states(device: torch.device) -> dict[str, UInt8[Tensor, " N"]]:
    """States of what dropout draws from next: of the CPU's generator and, under its type's name, of the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_rng_states(states: dict[str, UInt8[Tensor, " N"]], device: torch.device) -> None:
    """Restore rng_states. Of a device of another type than the states come from, the generator is left alone."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def wait_for(device: torch.device) -> None:
    """Wait until a device has done everything that it was given; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def free_memory(device: torch.device) -> None:
    """Give what torch keeps for later tensors back to the device, where other processes need it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_much_memory(device: torch.device) -> None:
    """Free memory where that is much: a CUDA device is waited for then, and once more by whoever asks for it again."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        if kept <= KEPT_SHARE * torch.cuda.get_device_properties(device).total_memory:
            return
    free_memory(device)


def device_memory(device: torch.device) -> DeviceMemory | None:
    """Read the memory of a CUDA device; None of others, which do not say what other processes hold."""
    if device.type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    reserved, peak = torch.cuda.memory_reserved(device), torch.cuda.max_memory_reserved(device)
    return DeviceMemory(total=total, free=free, reserved=reserved, peak=peak)


def begin_peak(device: torch.device) -> None:
    """Count from here on what peak_memory tells."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device, recorded: int = 0) -> int | None:
    """Bytes that tensors took of a CUDA device at most, or take now beside the `recorded` ones that recordings keep.

    Not what torch holds: that is also what it keeps of trials before, and of steps before they were recorded, which it
    gives back where memory is short. None of other devices, which do not say it.
    """
    if device.type != "cuda":
        return None
    return max(torch.cuda.max_memory_allocated(device), torch.cuda.memory_allocated(device) + recorded)


def _gpus() -> list[str]:
    if torch.cuda.is_available():
        return [f"cuda:{at}" for at in range(torch.cuda.device_count())]
    return ["mps"] if torch.backends.mps.is_available() else []
