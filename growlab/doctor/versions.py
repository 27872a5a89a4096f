"""Python, the packages, compared with what growlab's own metadata asks for without importing them, and plugins."""

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from growlab import __version__
from growlab.doctor.findings import Finding
from growlab.packages import checkout_command, install_command

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_NEEDED = ("torch", "numpy", "optuna", "sqlalchemy", "alembic")
_OPTIONAL = {  # package: what it is for
    "psycopg": "PostgreSQL as storage",
    "tokenizers": "byte-pair tokenizers",
    "pyarrow": "Parquet corpora",
    "datasets": "corpora of the Hugging Face hub",
}
_REASONS = {"torch": " (below: CVE-2025-32434, CVE-2026-24747)"}
_WITHOUT_METADATA = ("torch>=2.10",)  # what is not left open even then


def check_versions() -> Iterator[Finding]:
    yield Finding("versions", "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield _growlab()
    requirements = _requirements()
    for name in _NEEDED:
        yield _needed(name, requirements.get(name))
    for name in _OPTIONAL:
        yield _optional(name, requirements.get(name))


def check_plugins(files: Sequence[Path]) -> Iterator[Finding]:
    """Load plugins, and the installed packages that have an entry point: all or none are of use to a worker."""
    from growlab.plugins import load_plugins

    for name, loaded in load_plugins(files).items():
        yield Finding("versions", "plugin", "ok", f"{name}, {loaded}")


def _growlab() -> Finding:
    if _installed("growlab"):
        return Finding("versions", "growlab", "ok", __version__)
    found = f"{__version__}, not installed: which versions it needs is not known"
    return Finding("versions", "growlab", "warning", found, checkout_command())


def _needed(name: str, requirement: "Requirement | None") -> Finding:
    have = _installed(name)
    if have and _fits(have, requirement):
        return Finding("versions", name, "ok", have)
    found = _shortfall(have, requirement) + _REASONS.get(name, "")
    return Finding("versions", name, "broken", found, f"pip install '{requirement or name}'")


def _optional(name: str, requirement: "Requirement | None") -> Finding:
    have = _installed(name)
    if have and _fits(have, requirement):
        return Finding("versions", name, "ok", have)
    found = f"{_shortfall(have, requirement)}; for {_OPTIONAL[name]}"
    return Finding("versions", name, "warning", found, install_command(name))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _requirements() -> dict[str, "Requirement"]:
    """Requirements by the package's name; extras ask for nothing that differs."""
    from packaging.requirements import Requirement

    asked = requires("growlab") if _installed("growlab") else None
    return {requirement.name: requirement for requirement in map(Requirement, asked or _WITHOUT_METADATA)}


def _fits(have: str, requirement: "Requirement | None") -> bool:
    return requirement is None or requirement.specifier.contains(have, prereleases=True)


def _shortfall(have: str, requirement: "Requirement | None") -> str:
    return f"{have}, needs {requirement.specifier}" if have and requirement else "not installed"
