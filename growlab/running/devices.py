"""The device and the threads of each worker on this machine."""

import os

from growlab.resources import n_cores


def devices_for(device: str, workers: int) -> list[str]:
    """The device of each worker: `workers` on the one that is named, or on every GPU for 'all'.

    Raises UsageError for one that this machine has not.
    """
    if device in ("auto", "cpu"):
        return [device] * workers
    from growlab.training.device import every_gpu, resolve_device

    if device != "all":
        resolve_device(device)
        return [device] * workers
    return [gpu for gpu in every_gpu() for _ in range(workers)]


def shared_threads(n: int) -> int:
    """Threads of each of `n` processes: an equal share of the cores; under OMP_NUM_THREADS 0, torch's own choice."""
    return 0 if os.environ.get("OMP_NUM_THREADS") else max(1, n_cores() // n)
