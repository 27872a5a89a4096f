"""Packages that only some corpora need. They are imported when one is asked for, and may be missing."""

import importlib
from types import ModuleType

from growlab.errors import DataError
from growlab.packages import install_command


def optional(package: str, *, needed_by: str) -> ModuleType:
    """Import an optional package. Raises DataError, with the command that installs it, when it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise DataError(f"{needed_by} needs the package {name!r} ({error}); run: {install_command(name)}") from None
