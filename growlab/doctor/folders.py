"""Folders that growlab writes into: whether files can be made there, and how much room there is."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from growlab.amounts import gib
from growlab.doctor.findings import Finding
from growlab.errors import StorageError
from growlab.preparation.places import artifact_root

_LITTLE_ROOM = 2**30  # bytes


def check_artifacts(storage: str, artifacts: Path | None) -> Iterator[Finding]:
    try:
        root = artifact_root(storage, artifacts)
    except StorageError:  # the check of the storage has said why
        found = "not known: they lie beside the database"
        yield Finding("folders", "artifacts", "warning", found, "--artifacts DIR names another place")
        return
    yield room_in("folders", "artifacts", root, "make it writable, or name another with --artifacts DIR")


def check_cache() -> Iterator[Finding]:
    from growlab.resources import cache_dir

    yield room_in("folders", "cache", cache_dir(), "make it writable, or name another with GROWLAB_CACHE=DIR")


def room_in(area: str, name: str, folder: Path, remedy: str) -> Finding:
    """Check the room in a folder. One that is not there yet is made at first use: then the one above it is tried."""
    try:
        there = next(above for above in (folder, *folder.parents) if above.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"growlab")
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Finding(area, name, "broken", f"{folder}: no file can be made: {error.strerror}", remedy)
    found = f"{folder}, {gib(free)} free" + ("" if there == folder else "; made at first use")
    if free < _LITTLE_ROOM:
        return Finding(area, name, "warning", found, f"make room on the disk of {there}")
    return Finding(area, name, "ok", found)
