"""What the device can do at best, measured: the rate of a large matrix product, the bandwidth of a large copy.

Both are the fastest of several tries, as a ceiling is meant. The product has random factors: a GPU that multiplies
zeros draws less power and runs faster than it ever does in training.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from growlab.errors import GrowlabError
from growlab.faults import is_out_of_memory
from growlab.training.device import autocast, free_memory
from growlab.training.timing import seconds

PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}

_SIDE, _SIDE_CUDA = 2048, 8192  # rows and columns of the factors
_BUFFER, _BUFFER_CUDA = 2**28, 2**31  # bytes that are copied: far more than any cache holds
_FEWEST_TRIES, _TRYING_S = 3, 0.5


@dataclass(frozen=True, kw_only=True)
class Roofline:
    flops_per_s: float  # of a matrix product in `precision`
    bytes_per_s: float  # of a copy, read plus written
    precision: str  # fp32 | bf16

    def floor_s(self, flops: int, n_bytes: int) -> float:
        """The time below which so much work cannot be done, in seconds: the longer of computing and moving."""
        return max(flops / self.flops_per_s, n_bytes / self.bytes_per_s)

    def bound(self, flops: int, n_bytes: int) -> str:
        """The one of the two that takes longer: 'compute' or 'memory'."""
        return "compute" if flops / self.flops_per_s >= n_bytes / self.bytes_per_s else "memory"


def measure_roofline(precision: str, device: torch.device) -> Roofline:
    """Measure the ceilings of training with this `train.precision` (auto, fp32, bf16).

    Raises GrowlabError when memory is lacking.
    """
    dtype = matmul_dtype(precision, device)
    try:
        return Roofline(
            flops_per_s=matmul_rate(dtype, device, _SIDE_CUDA if device.type == "cuda" else _SIDE),
            bytes_per_s=copy_rate(device, buffer_bytes(device)),
            precision=PRECISIONS[dtype],
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise GrowlabError(f"{device} has no memory left to measure its roofline; what else runs on it?") from error
    finally:
        free_memory(device)


def matmul_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type in which training with this `train.precision` multiplies matrices on the device."""
    with autocast(precision, device):
        enabled = torch.is_autocast_enabled(device.type)
        return torch.get_autocast_dtype(device.type) if enabled else torch.float32


def matmul_rate(dtype: torch.dtype, device: torch.device, side: int) -> float:
    """FLOP/s of a product of two square matrices: 2·side³ FLOPs."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    return 2 * side**3 / _fastest(lambda: torch.mm(left, right, out=product), device)


def copy_rate(device: torch.device, n_bytes: int) -> float:
    """Bytes per second of a copy inside the device's memory: `n_bytes` are read and as many written."""
    source = torch.ones(n_bytes // 4, device=device)
    target = torch.zeros_like(source)  # written once before: memory that nobody has touched is not there yet
    return 2 * n_bytes / _fastest(lambda: target.copy_(source), device)


def buffer_bytes(device: torch.device) -> int:
    """The bytes of one of a copy's two buffers; both together take at most a quarter of what a GPU has free."""
    if device.type != "cuda":
        return _BUFFER
    free, _ = torch.cuda.mem_get_info(device)
    return int(min(_BUFFER_CUDA, free // 8))


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of at least three tries that take half a second together, after one that is not timed."""
    seconds(work, device)
    tries, began = list[float](), time.perf_counter()
    while len(tries) < _FEWEST_TRIES or time.perf_counter() - began < _TRYING_S:
        tries.append(seconds(work, device))
    return min(tries)
