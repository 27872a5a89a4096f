"""What this process has: migrations and studies that growlab carries, the cache that it keeps, cores, signals."""

import os
import signal
from pathlib import Path

from growlab.home import from_home, home

# What asks a process to stop: Ctrl-C, a scheduler, a terminal that was closed, a batch system's warning.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_PACKAGE = Path(__file__).resolve().parent


def carried(name: str) -> Path:
    """The folder `alembic` or `studies`: inside an installed package, at the top of a checkout."""
    installed = _PACKAGE / f"_{name}"
    return installed if installed.is_dir() else _PACKAGE.parent / name


def shipped_studies() -> dict[str, Path]:
    """Files of all studies that growlab carries, by name; those in a folder are named 'founding/aether'."""
    return {name: path for name, path in _shipped().items() if name not in _ABLATIONS}


def shipped_ablations() -> dict[str, Path]:
    """Files of all ablations that growlab carries, by name."""
    return {name: path for name, path in _shipped().items() if name in _ABLATIONS}


_ABLATIONS = ("ablation",)  # in the same folder


def _shipped() -> dict[str, Path]:
    folder = carried("studies")
    paths = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), path))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def cache_dir() -> Path:
    """The folder GROWLAB_CACHE, else the user's cache folder. It can be deleted at any time.

    Raises UsageError for neither.
    """
    if named := os.environ.get("GROWLAB_CACHE"):
        return from_home(named)
    if named := os.environ.get("XDG_CACHE_HOME"):
        return from_home(named) / "growlab"
    return home("set GROWLAB_CACHE to a folder for what can be rebuilt") / ".cache" / "growlab"


def n_cores() -> int:
    """The number of cores that this process may use: containers and batch systems give it a part of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
