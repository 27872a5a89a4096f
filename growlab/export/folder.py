"""A folder that is whole or absent: built beside its place, then renamed into it."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from growlab.errors import CheckpointError, UsageError
from growlab.export.contents import is_export
from growlab.files import CHUNK, open_regular, place_beside


@contextmanager
def whole_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Make a new folder to fill; it becomes `target` if all goes well, and else is gone.

    With `force` it takes the place of an earlier export. Raises UsageError when `target` holds something else,
    CheckpointError when the disk refuses.
    """
    if is_export(target) and not force:
        raise UsageError(
            f"{target} is there already, an earlier export; give another folder, or replace it with --force"
        )
    refuse_taken(target, force=force)
    target = target.resolve()
    beside = place_beside(target)
    try:
        beside.mkdir(parents=True)
        yield beside
        refuse_taken(target, force=force)
        _put_in_place(beside, target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put_in_place(beside: Path, target: Path) -> None:
    """Rename a folder to `target`. What is there goes when the new one stands, and comes back where that fails."""
    if not (target.is_dir() and any(target.iterdir())):
        beside.rename(target)  # replaces an empty folder, and no other
        return
    before = place_beside(target)
    target.rename(before)
    try:
        beside.rename(target)
    except OSError:
        before.rename(target)
        raise
    shutil.rmtree(before, ignore_errors=True)


def refuse_taken(target: Path, *, force: bool = False) -> None:
    """Raise UsageError unless `target` is free, or an empty folder, or with `force` an earlier export."""
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise UsageError(f"{target} is there already; give another folder, or remove it first")
    if not is_export(target):
        raise UsageError(
            f"{target} is no export of growlab, so --force leaves it alone; give another folder, or remove it first"
        )


def refuse_unwritable(target: Path) -> None:
    """Raise UsageError unless the folders above `target` are there, or can be made."""
    above = next(folder for folder in target.resolve().parents if os.path.lexists(folder))
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise UsageError(f"cannot write {target}: {above} is not a folder that you may write to; give another")


def copy_verified(source: Path, target: Path, sha256: str) -> None:
    """Copy a file of which the sha256 is known, durably. Raises CheckpointError when it is missing or another one."""
    digest = hashlib.sha256()
    with _opened(source) as original, target.open("xb") as copy:
        while piece := original.read(CHUNK):
            digest.update(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    if digest.hexdigest() != sha256:
        raise CheckpointError(
            f"{source} is damaged: its sha256 is not the recorded {sha256[:12]}…; "
            f"restore it from a backup, or export another trial"
        )


def _opened(source: Path) -> IO[bytes]:
    try:
        return open_regular(source)
    except FileNotFoundError:
        raise CheckpointError(
            f"{source} is missing; give the artifact folder of the worker that trained it, or copy the file from there"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{source} cannot be read: {error.strerror}; export another trial") from None
