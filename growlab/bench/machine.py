"""What the figures belong to: the device and the versions."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from growlab import __version__


def describe_device(device: torch.device) -> dict[str, str | int]:
    """The name of a device in torch, the maker's name for it, and how many threads a CPU computes with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return {"device": str(device), "name": name, "threads": torch.get_num_threads()}


def cpu_name() -> str:
    """The name of the CPU as the system gives it; its architecture where it gives none."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


def describe_versions() -> dict[str, str]:
    """The versions of growlab, Python and torch; of triton and CUDA where they are."""
    found = {"growlab": __version__, "python": platform.python_version(), "torch": torch.__version__}
    found["cuda"] = torch.version.cuda or ""
    try:
        found["triton"] = version("triton")
    except PackageNotFoundError:
        found["triton"] = ""
    return {name: text for name, text in found.items() if text}
