"""Where a trial could run: what is there, and whether a small matrix product comes out right."""

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.amounts import gib
from growlab.doctor.findings import Finding
from growlab.escapes import first_line
from growlab.resources import n_cores

if TYPE_CHECKING:
    import torch

_SIDE = 64
_LITTLE_MEMORY = 2**30  # bytes free on a GPU
_REINSTALL = "pip install --force-reinstall torch"


def check_devices() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of its own cannot be loaded
        yield Finding("devices", "torch", "broken", f"cannot be imported: {error}", _REINSTALL)
        return
    yield _working(torch.device("cpu"), "CPU", f"{n_cores()} cores, {_memory()} of memory")
    yield from _gpus()
    if torch.backends.mps.is_available():
        yield _working(torch.device("mps"), "MPS", "Apple GPU")


def _gpus() -> Iterator[Finding]:
    import torch

    with warnings.catch_warnings(record=True) as caught:  # torch warns of a broken driver and goes on without it
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    if usable:
        for index in range(torch.cuda.device_count()):
            yield _gpu(index)
    elif _has_nvidia_card():
        yield _unusable_card(" ".join(str(warning.message) for warning in caught))


def _gpu(index: int) -> Finding:
    import torch

    name = f"cuda:{index}"
    try:
        free, total = torch.cuda.mem_get_info(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
        about = f"{torch.cuda.get_device_name(index)}, {gib(free)} of {gib(total)} free, {bf16}"
    except RuntimeError as error:
        return Finding("devices", name, "broken", first_line(str(error).strip()), "see what nvidia-smi says of it")
    finding = _working(torch.device(name), name, about)
    if finding.status == "ok" and free < _LITTLE_MEMORY:
        return Finding("devices", name, "warning", about, "another process has its memory; nvidia-smi names it")
    return finding


def _working(device: "torch.device", name: str, about: str) -> Finding:
    """Multiply on a device: whole numbers below 2^24, so that the product is exact on every one."""
    import torch

    try:
        ones = torch.ones(_SIDE, _SIDE, device=device)
        total = float((ones @ ones).sum())
    except RuntimeError as error:
        advice = "see what nvidia-smi says of it" if device.type == "cuda" else _REINSTALL
        return Finding(
            "devices", name, "broken", f"{about}; a matrix product fails: {first_line(str(error).strip())}", advice
        )
    if total != _SIDE**3:
        found = f"{about}; a matrix product is wrong: its sum is {total}, not {_SIDE**3}"
        return Finding("devices", name, "broken", found, "do not train on it: its memory or its driver is faulty")
    return Finding("devices", name, "ok", about)


def _unusable_card(reason: str) -> Finding:
    import torch

    if torch.version.cuda is None:
        found = f"there is an NVIDIA card, but torch {torch.__version__} is built without CUDA"
        return Finding("devices", "CUDA", "warning", found, _REINSTALL)
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        found = f"there is an NVIDIA card, but CUDA_VISIBLE_DEVICES={visible!r} shows torch none"
        return Finding("devices", "CUDA", "warning", found, "unset CUDA_VISIBLE_DEVICES")
    found = f"there is an NVIDIA card that torch {torch.__version__} cannot use: {reason or 'it finds no device'}"
    advice = f"nvidia-smi must list it, with CUDA {torch.version.cuda} or newer; else update the driver"
    return Finding("devices", "CUDA", "broken", found, advice)


def _has_nvidia_card() -> bool:
    return Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi") is not None


def memory_bytes() -> int | None:
    """The memory of the machine, or what the container may use where that is less; None where nothing says it."""
    if not hasattr(os, "sysconf"):
        return None
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")  # 'max' where there is none
    most = limit.read_text().strip() if limit.is_file() else ""
    return min(machine, int(most)) if most.isdecimal() else machine


def _memory() -> str:
    memory = memory_bytes()
    return "an unknown amount" if memory is None else gib(memory)
