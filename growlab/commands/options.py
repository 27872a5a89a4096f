"""Options that several commands share, and what is made of them."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

STORAGE_DEFAULT = "sqlite:///growlab.db"

Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="GROWLAB_STORAGE",
        help="The database: sqlite:///FILE or postgresql://user@host/name.",
        show_envvar=True,
    ),
]
Artifacts = Annotated[
    Path | None,
    typer.Option(
        "--artifacts",
        envvar="GROWLAB_ARTIFACTS",
        help="The folder of checkpoints and models; all workers of a study must see the same. "
        "Default: growlab-artifacts beside the SQLite file, else in this folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the study file, such as train.lr=1e-3.")
]


def artifact_root(storage: str, given: Path | None) -> Path:
    from growlab.storage.address import read_address

    if given is not None:
        return given.resolve()
    database = read_address(storage).path
    return (database.parent if database else Path.cwd()) / "growlab-artifacts"


def say(words: str) -> None:
    """A message for the person, not for a pipe."""
    print(words, file=sys.stderr, flush=True)


def with_shell_hint(storage: str) -> str:
    """' --storage …' for a command that we suggest, unless the default or the environment says it already.

    Never with a password.
    """
    from growlab.storage.address import read_address

    known = os.environ.get("GROWLAB_STORAGE", STORAGE_DEFAULT)
    holds_password = read_address(storage).shown != storage
    return "" if storage == known or holds_password else f" --storage {shlex.quote(storage)}"
