"""Packages that only some corpora need. They are imported when one is asked for, and may be missing."""

import importlib
from types import ModuleType

from growlab.errors import DataError


def optional(package: str, *, needed_by: str) -> ModuleType:
    """Import it. Raises DataError, with the command that installs it, when it is not there."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise DataError(
            f"{needed_by} needs the package {package.partition('.')[0]!r} ({error}); run: pip install growlab[data]"
        ) from None
