"""Where a trial runs, and in which precision."""

from contextlib import AbstractContextManager, nullcontext

import torch

from growlab.errors import UsageError


def resolve_device(name: str) -> torch.device:
    """cpu | cuda | cuda:1 | auto (a GPU if there is one). Raises UsageError for what is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use cpu, cuda, cuda:1 or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use cpu, cuda, cuda:1 or auto")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: this machine has no usable GPU; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"device {name!r}: this machine has {torch.cuda.device_count()} GPU(s), counted from cuda:0")
    return device


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bf16 autocast where asked for; `auto` asks for it on a GPU that has bf16. Weights stay fp32."""
    wanted = precision == "bf16" or (
        precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, dtype=torch.bfloat16) if wanted else nullcontext()
