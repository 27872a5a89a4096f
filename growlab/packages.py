"""The packages that growlab can do without, and how they come to be installed.

growlab is in no package index yet. A checkout is installed with its extras by its path; what came from a wheel is given
the package that the extra asks for, by the name and version in growlab's own metadata.
"""

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent  # the top of a checkout, or the folder of all installed packages


def install_command(package: str) -> str:
    """The command that brings an optional package to this growlab, to be pasted: pip install 'pyarrow>=18'."""
    if (project := _HOME / "pyproject.toml").is_file():
        extras = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        return f"pip install -e {shlex.quote(f'{_HOME}[{_extra_of(package, extras)}]')}"
    return f"pip install {shlex.quote(_requirement_of(package))}"


def checkout_command() -> str:
    """The command that installs the checkout that this growlab is, to be pasted."""
    return f"pip install -e {shlex.quote(str(_HOME))}"


def _extra_of(package: str, extras: Mapping[str, Sequence[str]]) -> str:
    return next(extra for extra, asked in extras.items() if any(_name(requirement) == package for requirement in asked))


def _requirement_of(package: str) -> str:
    """The requirement as the metadata write it, such as psycopg[binary]>=3.2; the bare name where there are none."""
    try:
        asked = requires("growlab") or []
    except PackageNotFoundError:
        asked = []
    return next(
        (requirement.partition(";")[0].strip() for requirement in asked if _name(requirement) == package), package
    )


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
